package sdkcompat

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

func TestSDKResponsesGetTheClientsID(t *testing.T) {
	t.Parallel()
	id := json.RawMessage(`"7"`)
	for _, test := range []struct {
		name string
		resp *jsonrpc.Response
		want string
	}{
		{"result", &jsonrpc.Response{Result: json.RawMessage(`{}`)}, `{"jsonrpc":"2.0","id":"7","result":{}}`},
		{"wire error", &jsonrpc.Response{Error: &jsonrpc.Error{Code: -32601, Message: "no"}}, `{"jsonrpc":"2.0","id":"7","error":{"code":-32601,"message":"no"}}`},
		{"code 0 is internal", &jsonrpc.Response{Error: &jsonrpc.Error{Message: "no"}}, `{"jsonrpc":"2.0","id":"7","error":{"code":-32603,"message":"no"}}`},
		{"plain error", &jsonrpc.Response{Error: errors.New("no")}, `{"jsonrpc":"2.0","id":"7","error":{"code":-32603,"message":"no"}}`},
		{"params of the wrong type",
			&jsonrpc.Response{Error: &jsonrpc.Error{Code: -32602, Message: `handling 'x': invalid params: unmarshaling "{\"a\":{\"b\":1}}" into a *mcp.X: json: cannot unmarshal "1}}" into Go struct field mcp.X.a.b of type string`}},
			`{"jsonrpc":"2.0","id":"7","error":{"code":-32602,"message":"handling 'x': invalid params: \"a.b\" has another type than it should"}}`},
		{"params that cannot be decoded, with code 0",
			&jsonrpc.Response{Error: &jsonrpc.Error{Message: `handling 'x': unmarshaling "{}" into a *mcp.X: too deep`}},
			`{"jsonrpc":"2.0","id":"7","error":{"code":-32602,"message":"handling 'x': invalid params"}}`},
		{"a handler's own trouble with JSON",
			&jsonrpc.Response{Error: &jsonrpc.Error{Message: `load: unmarshaling "{}" into a *app.X: no`}},
			`{"jsonrpc":"2.0","id":"7","error":{"code":-32603,"message":"load: unmarshaling \"{}\" into a *app.X: no"}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, string(EncodeResponse(id, test.resp))); diff != "" {
				t.Error("-want +got:\n" + diff)
			}
		})
	}
}
