package sdkcompat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK never answers a request whose result cannot be encoded: neither the
// client nor the connection hears of it. It sends typed nils as null, or panics
// at them.
//
// Seen in: v1.8.0.
// Here: results are encoded before the SDK has them, while an error can still be
// answered.
// Test: TestAResultThatIsNotJSONGetsNoResponse.

var (
	errNoResult   = errors.New("the handler returned no result")
	errNilContent = errors.New("there is a nil among the content or the input requests")
	errOthers     = errors.New("the result is another request's: middleware that keeps results must be added before the server serves")
	errDeep       = fmt.Errorf("content within content, more than %d deep", maxContentDepth)
)

// An encodedResult is a result that has been encoded. It embeds a result of the
// SDK because those alone get the result type that the SDK gives each result in
// protocols without sessions.
type encodedResult struct {
	mcp.CompleteResult // Meta and ResultType, as the SDK sets them

	data    json.RawMessage
	request *Request
}

// placeholder is what the SDK sends in place of a result of a session's request,
// so that it need not go through all of the result once more. It is no result
// itself: those are objects.
const placeholder = `"mcpfleet: the encoded result"`

// encode encodes a handler's result, and calls no code of the handler afterwards:
// what the SDK adds to the result it adds to a copy, as a handler may return the
// same result again and again.
func (r *Request) encode(res mcp.Result) (mcp.Result, error) {
	data, err := checked(res)
	if err != nil {
		return nil, err
	}
	encoded := &encodedResult{data: data, request: r}
	if r.stateless {
		encoded.Meta = maps.Clone(res.GetMeta())
	} else {
		r.result = data
	}
	return encoded, nil
}

// checked encodes a handler's result, if it is one that a client can read.
func checked(res mcp.Result) (json.RawMessage, error) {
	if res == nil {
		return nil, errNoResult
	}
	if err := checkContent(res); err != nil {
		return nil, err
	}
	data, err := encodeResult(res)
	if err == nil && string(data) == "null" {
		err = errNoResult
	}
	return data, err
}

// encodeAll is encode for a result that the SDK does not get.
func (r *Request) encodeAll(res mcp.Result) (json.RawMessage, error) {
	data, err := checked(res)
	if err != nil || !r.stateless || r.server == nil {
		return data, err
	}
	return withServerInfo(data, res.GetMeta(), Implementation(r.server))
}

// withServerInfo returns a result with the server's implementation in its _meta, as
// the SDK puts it there from 2026-07-28 on, unless the handler has put one.
func withServerInfo(data json.RawMessage, meta map[string]any, impl *mcp.Implementation) (json.RawMessage, error) {
	if _, has := meta[mcp.MetaKeyServerInfo]; has || impl == nil {
		return data, nil
	}
	if len(meta) == 0 && len(data) > 2 && data[0] == '{' { // most often: put it in front
		info, err := encodeJSON(impl)
		if err != nil {
			return nil, err
		}
		b := make([]byte, 0, len(data)+len(info)+len(mcp.MetaKeyServerInfo)+20)
		b = append(b, `{"_meta":{"`...)
		b = append(append(append(b, mcp.MetaKeyServerInfo...), `":`...), info...)
		return append(append(b, "},"...), data[1:]...), nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return data, nil // it is no object
	}
	meta = maps.Clone(meta)
	if meta == nil {
		meta = map[string]any{}
	}
	meta[mcp.MetaKeyServerInfo] = impl
	var err error
	if fields["_meta"], err = encodeJSON(meta); err != nil {
		return nil, err
	}
	return encodeJSON(fields)
}

// Result returns the result that the SDK's result stands for: that of the handler,
// unless middleware has made another of it since. It fails if it is the result of
// another request.
func (r *Request) Result(sdk json.RawMessage) (json.RawMessage, error) {
	if string(sdk) != placeholder {
		return sdk, nil
	}
	if r.result == nil {
		return nil, errOthers
	}
	return r.result, nil
}

// MarshalJSON implements [json.Marshaler].
func (r *encodedResult) MarshalJSON() ([]byte, error) {
	switch {
	case r.Meta != nil || r.ResultType != "":
		return r.merged()
	case !r.request.stateless:
		return []byte(placeholder), nil
	default:
		return r.data, nil
	}
}

// merged returns the result with what was set after it had been encoded.
func (r *encodedResult) merged() ([]byte, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(r.data, &fields) != nil {
		return r.data, nil // a custom method's, which is no object
	}
	var err error
	if len(r.Meta) > 0 {
		if fields["_meta"], err = encodeJSON(r.Meta); err != nil {
			return nil, err
		}
	}
	if r.ResultType != "" && fields["resultType"] == nil {
		if fields["resultType"], err = encodeJSON(r.ResultType); err != nil {
			return nil, err
		}
	}
	return encodeJSON(fields)
}

// encodeResult is encodeJSON for a handler's result. That of a tool says its JSON itself,
// which encoding/json would only look through and copy.
func encodeResult(res mcp.Result) (json.RawMessage, error) {
	if r, ok := res.(*mcp.CallToolResult); ok && r != nil {
		return r.MarshalJSON()
	}
	return encodeJSON(res)
}

// encodeJSON encodes a value as the SDK does.
func encodeJSON(v any) (json.RawMessage, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// InputRequests returns what a result asks of the client, nothing if it cannot be sent
// for a nil among it.
func InputRequests(res mcp.Result) mcp.InputRequestMap {
	inputs := inputRequests(res)
	for _, input := range inputs {
		if isNil(input) {
			return nil
		}
	}
	return inputs
}

func inputRequests(res mcp.Result) mcp.InputRequestMap {
	switch r := res.(type) {
	case *mcp.CallToolResult:
		if r != nil {
			return r.InputRequests
		}
	case *mcp.GetPromptResult:
		if r != nil {
			return r.InputRequests
		}
	case *mcp.ReadResourceResult:
		if r != nil {
			return r.InputRequests
		}
	}
	return nil
}

// checkContent fails if among the content of a result, or what it asks of the
// client, is a nil, which no client can read.
func checkContent(res mcp.Result) error {
	var contents []mcp.Content
	switch r := res.(type) {
	case *mcp.CallToolResult:
		if r != nil {
			contents = r.Content
		}
	case *mcp.GetPromptResult:
		if r == nil {
			return nil
		}
		for _, m := range r.Messages {
			if m == nil {
				return errNilContent
			}
			contents = append(contents, m.Content)
		}
	}
	for _, input := range inputRequests(res) {
		if isNil(input) {
			return errNilContent
		}
	}
	return checkContents(contents, 0)
}

func isNil(v any) bool {
	value := reflect.ValueOf(v)
	return !value.IsValid() || value.Kind() == reflect.Pointer && value.IsNil()
}

// maxContentDepth bounds content within content, which may be within itself.
const maxContentDepth = 100

func checkContents(contents []mcp.Content, depth int) error {
	if depth > maxContentDepth {
		return errDeep
	}
	for _, c := range contents {
		if isNil(c) {
			return errNilContent
		}
		if nested, ok := c.(*mcp.ToolResultContent); ok {
			if err := checkContents(nested.Content, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
