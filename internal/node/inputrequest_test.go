package node

import (
	"encoding/json"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

func TestServerRequestsBecomeInputRequests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ method, params, want string }{
		{"elicitation/create", `{"mode":"url","url":"https://a","elicitationId":"x"}`, `{"mode":"url","url":"https://a"}`},
		{"elicitation/create", `{"mode":"form","message":"m"}`, `{"mode":"form","message":"m"}`},
		{"sampling/createMessage", `{"elicitationId":"x"}`, `{"elicitationId":"x"}`},
		{"elicitation/create", `7`, `7`},
		{"elicitation/create", ``, `{}`},
		{"roots/list", ``, `{}`},
	} {
		m := &jsonrpc.Request{Method: test.method, Params: json.RawMessage(test.params)}
		if got := string(asInputRequest(m).Params); got != test.want {
			t.Errorf("%s %s became %s", test.method, test.params, got)
		}
		if string(m.Params) != test.params {
			t.Errorf("%s %s was changed", test.method, test.params)
		}
	}
}
