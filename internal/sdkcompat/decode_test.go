package sdkcompat

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Not parallel: it counts all bytes that are allocated.
func TestDecodingTakesABufferEachTime(t *testing.T) {
	server := newServer(nil)
	p, _ := connect(t, server, initialized())
	allocated := func(run func()) int {
		const runs = 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			run()
		}
		runtime.ReadMemStats(&after)
		return int(after.TotalAlloc-before.TotalAlloc) / runs
	}
	const params = `{"name":"no such prompt"}`
	if n := allocated(func() { p.call(t, "prompts/get", params) }); n < 2*32<<10 {
		t.Errorf("the SDK allocates %d bytes a request", n)
	}
	if n := allocated(func() { _, _ = Decode("prompts/get", []byte(params), nil) }); n > 4<<10 {
		t.Errorf("we allocate %d bytes", n)
	}
}

// A handler must not be able to tell who has decoded its params, nor a client.
func TestDecodeAgreesWithTheSDK(t *testing.T) {
	t.Parallel()
	for method, all := range map[string][]string{
		"tools/call": {
			`{"name":"n","arguments":{"a":[1,{"b":null}],"c":1e400}}`, `{"name":"n"}`, `{"name":"n","arguments":null}`, `{"NAME":"x","name":"n"}`,
			`{"name":"n","_meta":{"progressToken":7,"x":{"y":[true]}},"requestState":"s","inputResponses":{"a":{"action":"accept","content":{"b":1}}}}`,
			`{"name":"a","name":"b"}`, `{}`, ``, `null`, `{"name":7}`, `{"name":{"x":1}}`, `{"_meta":7}`, `{"arguments":7}`, `{"inputResponses":[]}`, `{"requestState":{}}`,
		},
		"prompts/get":    {`{"name":"n","arguments":{"a":"b"}}`, `{"name":"n","arguments":{"a":7}}`, `{"name":"n","arguments":[]}`, `{}`, ``, `null`, `{"Name":"n"}`},
		"resources/read": {`{"uri":"a:b"}`, `{"uri":"a:b","_meta":{"k":"v"}}`, `{"uri":7}`, `{"URI":"a:b"}`, `{}`, ``, `null`},
	} {
		for _, params := range all {
			t.Run(method+" "+params, func(t *testing.T) {
				t.Parallel()
				server := newServer(nil)
				var want, got mcp.Params
				server.AddReceivingMiddleware(func(mcp.MethodHandler) mcp.MethodHandler {
					return func(_ context.Context, _ string, req mcp.Request) (mcp.Result, error) {
						want = req.GetParams()
						return nil, errors.New("seen")
					}
				})
				p, session := connect(t, server, initialized())
				resp := p.call(t, method, params)
				decoded, err := Decode(method, []byte(params), nil)
				if err == nil {
					req := decoded.For(session)
					if got = req.GetParams(); req.GetSession() != mcp.Session(session) {
						t.Errorf("the request's session is %v", req.GetSession())
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-the SDK's +ours\n%s", diff)
				}
				if err == nil {
					return
				}
				theirs, ours := EncodeResponse([]byte("1"), resp), EncodeResponse([]byte("1"), &jsonrpc.Response{Error: err})
				same := strings.Replace(string(theirs), "handling '"+method+"': invalid request", "invalid request", 1) // of null, as of none
				if diff := cmp.Diff(same, string(ours)); diff != "" {
					t.Errorf("-what the SDK says +what we say\n%s", diff)
				}
			})
		}
	}
}
