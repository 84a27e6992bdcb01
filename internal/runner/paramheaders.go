package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// An argument whose property in the tool's input schema has the annotation
// x-mcp-header is repeated in a header of the call, so that what is between client and
// server can route by it. The server refuses a call whose header and body disagree
// (specification 2026-07-28, "Streamable HTTP", "Custom Headers from Tool Parameters").

const (
	paramHeaderPrefix = "Mcp-Param-"
	headerAnnotation  = "x-mcp-header"
	maxHeaderInteger  = 1<<53 - 1 // what the specification lets integers be
	maxSchemaDepth    = 100       // schemas may contain themselves
)

// A paramHeader is an annotation: where an argument is, and which header repeats it.
type paramHeader struct {
	path   []string
	header string
}

// annotations are the annotations of the tools that have any, by the tool's name.
type annotations map[string][]paramHeader

// A paramView is the annotations of a server's tools, once they are computed.
type paramView struct {
	mu      sync.RWMutex // guards all fields below
	changes int
	known   bool
	tools   annotations
}

func (v *paramView) changed() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changes++
	v.known, v.tools = false, nil
}

func (v *paramView) load() (tools annotations, known bool, changes int) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.tools, v.known, v.changes
}

// store keeps what was computed since the given number of changes.
func (v *paramView) store(tools annotations, changes int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changes == changes {
		v.known, v.tools = true, tools
	}
}

// checkParamHeaders fails unless the headers of a tools/call say what its arguments
// say, where the tool wants that. The session is one of the server's.
func (r *Runner) checkParamHeaders(ctx context.Context, server *mcp.Server, session *mcp.ServerSession, header http.Header, call *mcp.CallToolParamsRaw) error {
	watched := r.watched.find(server)
	if watched == nil || !watched.toolsTold {
		return r.checkListed(ctx, session, header, call)
	}
	view := &watched.params
	tools, known, changes := view.load()
	if !known {
		var err error
		if tools, err = r.annotations(ctx, session); err != nil {
			return err
		}
		view.store(tools, changes)
	}
	err := checkParams(header, tools[call.Name], call.Arguments)
	if err != nil && known {
		// The SDK tells changes somewhat later: the client may know them already.
		return r.checkListed(ctx, session, header, call)
	}
	return err
}

// checkListed is checkParamHeaders by the tool as it is now.
func (r *Runner) checkListed(ctx context.Context, session *mcp.ServerSession, header http.Header, call *mcp.CallToolParamsRaw) error {
	for tool, err := range r.rounds.Tools(ctx, session) {
		if err != nil {
			return err
		}
		if tool.Name == call.Name {
			return checkParams(header, annotationsOf(tool.InputSchema), call.Arguments)
		}
	}
	return nil // the server says that there is no such tool
}

// annotations returns those of all tools of the session's server.
func (r *Runner) annotations(ctx context.Context, session *mcp.ServerSession) (annotations, error) {
	var all annotations
	for tool, err := range r.rounds.Tools(ctx, session) {
		if err != nil {
			return nil, err
		}
		if found := annotationsOf(tool.InputSchema); len(found) > 0 {
			if all == nil {
				all = annotations{}
			}
			all[tool.Name] = found
		}
	}
	return all, nil
}

// annotationsOf returns the annotations of an input schema, in any of the forms that
// the SDK takes.
func annotationsOf(schema any) []paramHeader {
	switch s := schema.(type) {
	case *jsonschema.Schema:
		return inSchema(s, nil, nil)
	case map[string]any:
		return inMap(s, nil, nil)
	}
	raw, isRaw := schema.(json.RawMessage)
	if !isRaw {
		var err error
		if raw, err = json.Marshal(schema); err != nil {
			return nil // the SDK has not taken it either
		}
	}
	// What JSON can write in no other way than with an escape has a backslash.
	if !bytes.Contains(raw, []byte(headerAnnotation)) && !bytes.ContainsRune(raw, '\\') {
		return nil
	}
	var decoded map[string]any
	if json.Unmarshal(raw, &decoded) != nil {
		return nil // as above
	}
	return inMap(decoded, nil, nil)
}

// inSchema adds the annotations below a path to found. Only those on properties count,
// and on properties of properties.
func inSchema(s *jsonschema.Schema, path []string, found []paramHeader) []paramHeader {
	if s == nil || len(path) > maxSchemaDepth {
		return found
	}
	if name, ok := s.Extra[headerAnnotation].(string); ok && name != "" && len(path) > 0 {
		found = append(found, paramHeader{path, name})
	}
	for name, property := range s.Properties {
		found = inSchema(property, append(path[:len(path):len(path)], name), found)
	}
	return found
}

// inMap is inSchema for a schema that is JSON.
func inMap(s map[string]any, path []string, found []paramHeader) []paramHeader {
	if len(path) > maxSchemaDepth {
		return found
	}
	if name, ok := s[headerAnnotation].(string); ok && name != "" && len(path) > 0 {
		found = append(found, paramHeader{path, name})
	}
	properties, ok := s["properties"].(map[string]any)
	if !ok {
		return found
	}
	for name, property := range properties {
		below := append(path[:len(path):len(path)], name)
		switch property := property.(type) {
		case map[string]any:
			found = inMap(property, below, found)
		case *jsonschema.Schema:
			found = inSchema(property, below, found)
		}
	}
	return found
}

// checkParams compares the headers of a call with its arguments.
func checkParams(header http.Header, wanted []paramHeader, arguments json.RawMessage) error {
	if len(wanted) == 0 {
		return nil
	}
	var all map[string]json.RawMessage
	if len(arguments) > 0 && json.Unmarshal(arguments, &all) != nil {
		all = nil // the tool says that they must be an object
	}
	for _, w := range wanted {
		if err := w.check(header, all); err != nil {
			return err
		}
	}
	return nil
}

// check compares one header with its argument.
func (w paramHeader) check(header http.Header, arguments map[string]json.RawMessage) error {
	name, argument := paramHeaderPrefix+w.header, strings.Join(w.path, ".")
	sent := header.Values(name)
	value, found := w.lookUp(arguments)
	switch {
	case !found && len(sent) == 0:
		return nil
	case !found:
		return paramMismatch("unexpected %s header: the argument %q is absent or null", name, argument)
	case len(sent) == 0:
		return paramMismatch("missing %s header for the argument %q", name, argument)
	case len(sent) > 1:
		return paramMismatch("there is more than one %s header", name)
	}
	if strings.ContainsFunc(sent[0], isNoHeaderChar) {
		return paramMismatch("the %s header has characters that must be encoded", name)
	}
	decoded, ok := decodeHeader(sent[0])
	if !ok {
		return paramMismatch("the %s header is not valid Base64", name)
	}
	if !sameParam(decoded, value) {
		return paramMismatch("the %s header does not match the argument %q", name, argument)
	}
	return nil
}

// isNoHeaderChar reports whether a header may have a character only in encoded form.
func isNoHeaderChar(c rune) bool { return (c < ' ' || c > '~') && c != '\t' }

// lookUp returns an argument, unless it is absent or null.
func (w paramHeader) lookUp(arguments map[string]json.RawMessage) (value json.RawMessage, found bool) {
	for i, name := range w.path {
		if i > 0 {
			if len(value) == 0 || value[0] != '{' {
				return nil, false
			}
			arguments = nil
			if json.Unmarshal(value, &arguments) != nil {
				return nil, false
			}
		}
		if value, found = arguments[name]; !found {
			return nil, false
		}
	}
	return value, string(value) != "null"
}

// sameParam reports whether a header's value is that of an argument: a string, a
// boolean or an integer. Integers are compared as numbers.
func sameParam(header string, argument json.RawMessage) bool {
	var value any
	if json.Unmarshal(argument, &value) != nil {
		return false
	}
	switch value := value.(type) {
	case string:
		return header == value
	case bool:
		return header == strconv.FormatBool(value)
	case float64:
		n, ok := headerInteger(header)
		return ok && isHeaderInteger(value) && n == value
	default:
		return false
	}
}

// headerInteger returns the integer that a header is, such as 42 or 42.0.
func headerInteger(header string) (n float64, ok bool) {
	if strings.Trim(header, "+-.0123456789eE") != "" { // what JSON writes numbers with
		return 0, false
	}
	n, err := strconv.ParseFloat(header, 64)
	return n, err == nil && isHeaderInteger(n)
}

func isHeaderInteger(n float64) bool { return n == math.Trunc(n) && math.Abs(n) <= maxHeaderInteger }

func paramMismatch(format string, args ...any) error {
	return &jsonrpc.Error{Code: mcp.CodeHeaderMismatch, Message: "header mismatch: " + fmt.Sprintf(format, args...)}
}
