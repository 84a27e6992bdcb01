package mcp_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A resource that returns input requests needs contents, if none, as in sessions: the
// SDK looks at them first.
func TestAResourceThatReturnsInputRequestsNeedsContents(t *testing.T) {
	t.Parallel()
	inputs := mcp.InputRequestMap{"mine": &mcp.ElicitParams{Message: "?"}}
	rig := newRig(nil)
	rig.more = func(s *mcp.Server) {
		for name, contents := range map[string][]*mcp.ResourceContents{"nil": nil, "empty": {}} {
			s.AddResource(&mcp.Resource{URI: "news://" + name, Name: name}, func(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
				if req.Params.InputResponses != nil {
					return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{Text: "done"}}}, nil
				}
				return &mcp.ReadResourceResult{Contents: contents, InputRequests: inputs, RequestState: "state"}, nil
			})
		}
	}
	simulate(t, simulated{rig: rig}, func(t *testing.T, s *simulation) {
		q := func(name string) *rounded {
			return &rounded{method: "resources/read", name: "news://" + name, params: fmt.Sprintf(`{"uri":"news://%s"`, name)}
		}
		if got := q("nil").send(t, s.stateless(t), "", ""); !strings.Contains(string(got.Error), "nil information") {
			t.Errorf("nil contents: %s%s", got.Result, got.Error)
		}
		if m := s.session(t).Call(t, "resources/read", `{"uri":"news://nil"}`); !strings.Contains(string(m.Error), "nil information") {
			t.Errorf("nil contents in a session: %s%s", m.Result, m.Error)
		}
		got := q("empty").send(t, s.stateless(t), "", "")
		if got.ResultType != "input_required" || got.RequestState != "state" {
			t.Errorf("empty contents: %s%s", got.Result, got.Error)
		}
		if got = q("empty").send(t, s.stateless(t), got.RequestState, `{"mine":{"action":"accept"}}`); !strings.Contains(string(got.Result), "done") {
			t.Errorf("the end is %s%s", got.Result, got.Error)
		}
	})
}

// A call whose record Redis has lost cannot be continued, nor run again.
func TestALostRoundIsAStateThatIsNotValid(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: blockingRig(), instances: 3}, func(t *testing.T, s *simulation) {
		lose := func() {
			for _, key := range s.redis.Keys() {
				if strings.HasSuffix(key, ":round") {
					s.redis.Del(key)
				}
			}
		}
		c, q := s.stateless(t), roundedTool("again")
		got := q.send(t, c, "", "")
		lose()
		if got := q.send(t, c, got.RequestState, got.answers()); got.Status != 400 {
			t.Errorf("a lost round: %s%s", got.Result, got.Error)
		}

		// Lost between two rounds: the first answer is not known any more.
		here := at(c, s.instances[0].url)
		q = &rounded{method: "prompts/get", name: "interview", params: `{"name":"interview"`}
		got = q.send(t, here, "", "")
		got = q.send(t, here, got.RequestState, got.answers())
		lose()
		if got = q.send(t, here, got.RequestState, got.answers()); got.Status != 400 {
			t.Errorf("a lost round: %s%s", got.Result, got.Error)
		}
		time.Sleep(time.Hour) // all that waits is over
	})
}
