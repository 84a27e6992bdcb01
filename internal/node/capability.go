package node

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A capability is one of a client, by the names that lead to it: "sampling.tools".
type capability string

// neededBy returns the capability of a client that a server request needs
// (specification 2026-07-28, "Elicitation", "Sampling" and "Roots", "Capabilities").
// That of includeContext is not needed: a client without it ignores what it says.
func neededBy(method string, params json.RawMessage) capability {
	var p struct {
		Mode       string            `json:"mode"`
		Tools      []json.RawMessage `json:"tools"`
		ToolChoice json.RawMessage   `json:"toolChoice"`
	}
	if len(params) > 0 && json.Unmarshal(params, &p) != nil {
		return "" // not one that the SDK has encoded; the client will say so
	}
	switch {
	case method == "roots/list":
		return "roots"
	case method == "sampling/createMessage" && (len(p.Tools) > 0 || p.ToolChoice != nil):
		return "sampling.tools"
	case method == "sampling/createMessage":
		return "sampling"
	case method == "elicitation/create" && p.Mode == "url":
		return "elicitation.url"
	case method == "elicitation/create":
		return "elicitation.form"
	default:
		return ""
	}
}

// declaredBy reports whether a client has the capability.
func (c capability) declaredBy(client *mcp.ClientCapabilities) bool {
	if client == nil {
		client = &mcp.ClientCapabilities{}
	}
	switch c {
	case "roots":
		return client.RootsV2 != nil
	case "sampling":
		return client.Sampling != nil
	case "sampling.tools":
		return client.Sampling != nil && client.Sampling.Tools != nil
	case "elicitation.url":
		return client.Elicitation != nil && client.Elicitation.URL != nil
	case "elicitation.form": // which is what a client means that names no mode
		return client.Elicitation != nil && (client.Elicitation.Form != nil || client.Elicitation.URL == nil)
	default:
		return true
	}
}

// String returns what the capability is of, as the SDK says it.
func (c capability) String() string {
	switch feature, part, _ := strings.Cut(string(c), "."); {
	case part == "":
		return feature
	case feature == "elicitation":
		return `"` + part + `" ` + feature
	default:
		return feature + " with " + part
	}
}

// CheckInputs fails if a client did not declare the capabilities that input requests
// need, which must not be sent to it then (specification 2026-07-28, "Multi Round-Trip
// Requests", "Server Requirements").
func CheckInputs(client *mcp.ClientCapabilities, inputs map[string]InputRequest) error {
	var lacking []capability
	for _, input := range inputs {
		if needed := neededBy(input.Method, input.Params); !needed.declaredBy(client) {
			lacking = append(lacking, needed)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return missingCapabilities(lacking...)
}

// MissingElicitation is the error of a request whose handler was told by the SDK that
// its client cannot be elicited, in the mode if that is not empty.
func MissingElicitation(mode, message string) error {
	e := missingCapabilities(capability(strings.TrimSuffix("elicitation."+mode, ".")))
	e.Message = message
	return e
}

// missingCapabilities returns the error that says which capabilities a client lacks (specification
// 2026-07-28, "Base Protocol", "_meta").
func missingCapabilities(lacking ...capability) *jsonrpc.Error {
	slices.Sort(lacking)
	lacking = slices.Compact(lacking)
	var texts []string
	required := map[string]map[string]struct{}{}
	for _, c := range lacking {
		texts = append(texts, c.String())
		feature, part, _ := strings.Cut(string(c), ".")
		if required[feature] == nil {
			required[feature] = map[string]struct{}{}
		}
		if part != "" {
			required[feature][part] = struct{}{}
		}
	}
	data, _ := json.Marshal(map[string]any{"requiredCapabilities": required}) // it can be encoded
	return &jsonrpc.Error{
		Code:    mcp.CodeMissingRequiredClientCapabilities,
		Message: "client does not support " + strings.Join(texts, ", "),
		Data:    data,
	}
}

// lacks returns the error for a server request that needs a capability which the
// client did not declare, nil if it did.
func (c *Conn) lacks(m *jsonrpc.Request) *jsonrpc.Error {
	if needed := neededBy(m.Method, m.Params); !needed.declaredBy(c.req.Client) {
		return missingCapabilities(needed)
	}
	return nil
}
