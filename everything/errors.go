package everything

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// codeResourceNotFound is the code of an unknown resource in the revisions
// before 2026-07-28. The SDK uses -32602 in all of them.
const codeResourceNotFound = -32002

// invalidParams returns the JSON-RPC error for a request that is well formed
// but asks for something that does not exist or is not allowed.
func invalidParams(format string, args ...any) error {
	return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: fmt.Sprintf(format, args...)}
}

// versioned is a request of any method.
type versioned interface{ ProtocolVersion() string }

// isFrom2026 reports whether a request is of revision 2026-07-28 or later, in which
// some errors have other codes.
func isFrom2026(req versioned) bool { return req.ProtocolVersion() >= "2026-07-28" }

// resourceNotFound returns the error for an unknown uri, with the code of the
// request's revision.
//
// [mcp.ResourceNotFoundError] is not used: it quotes the uri with %q, which is
// not JSON for every string, and an error that cannot be encoded is never sent.
func resourceNotFound(req versioned, uri string) error {
	code := int64(codeResourceNotFound)
	if isFrom2026(req) {
		code = jsonrpc.CodeInvalidParams
	}
	return &jsonrpc.Error{
		Code:    code,
		Message: "Resource not found",
		Data:    marshal(map[string]string{"uri": uri}),
	}
}

// missingCapability returns the error for a tool that needs a capability the
// client has not declared. required is that part of the client's capabilities.
//
// The 2026-07-28 revision has a code for it. Before, it is an ordinary error,
// which becomes the text of the tool's result, where a model can read it.
func missingCapability(req versioned, name string, required map[string]any) error {
	message := "client does not support " + name
	if !isFrom2026(req) {
		return errors.New(message)
	}
	return &jsonrpc.Error{
		Code:    mcp.CodeMissingRequiredClientCapabilities,
		Message: message,
		// The SDK's ClientCapabilities always encode a "roots" member, which
		// would demand more than is needed.
		Data: marshal(map[string]any{"requiredCapabilities": required}),
	}
}

// missingForm is missingCapability for a tool that presents a form.
func missingForm(req versioned) error {
	return missingCapability(req, "form elicitation", map[string]any{"elicitation": map[string]any{"form": map[string]any{}}})
}

// marshal encodes plain values and maps of them, which cannot fail.
func marshal(v any) json.RawMessage {
	data, _ := json.Marshal(v)
	return data
}
