package everything_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

const page = "https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation"

// visitor returns the options of a client that opens pages.
func visitor(last **mcp.ElicitParams, action string, err error) *mcp.ClientOptions {
	opts := elicitor(last, &mcp.ElicitResult{Action: action}, err)
	opts.Capabilities = &mcp.ClientCapabilities{
		Elicitation: &mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}},
	}
	return opts
}

func TestElicitUrlSendsTheUserToAPage(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		var asked *mcp.ElicitParams
		for action, want := range map[string]string{
			"accept":  "The user agreed to open " + page,
			"decline": "The user declined to open " + page,
			"cancel":  "The user dismissed the question.",
		} {
			wantText(t, call(t, connect(visitor(&asked, action, nil)), "elicitUrl", nil), want)
		}
		if asked.Mode != "url" || asked.URL != page || asked.RequestedSchema != nil || asked.Message == "" {
			t.Errorf("asked %s", encode(t, asked))
		}
		if u, err := url.Parse(asked.URL); err != nil || u.Scheme != "https" || u.RawQuery != "" {
			t.Errorf("the page is %s", asked.URL)
		}
	})
}

// From 2026-07-28 on, such an answer does not reach the tool.
func TestUnknownActionIsAToolErrorBefore2026(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, visitor(nil, "maybe", nil))
	wantToolError(t, call(t, cs, "elicitUrl", nil), `unknown action "maybe"`)
}

func TestElicitationsByURLHaveIDsBefore2026(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		var asked *mcp.ElicitParams
		cs := connect(visitor(&asked, "accept", nil))
		for range 3 {
			call(t, cs, "elicitUrl", nil)
			if cs.InitializeResult().ProtocolVersion == v2026 {
				if asked.ElicitationID != "" {
					t.Errorf("the id is %s, and 2026-07-28 has none", asked.ElicitationID)
				}
				continue
			}
			if len(asked.ElicitationID) < 20 || seen[asked.ElicitationID] {
				t.Errorf("the id is %q", asked.ElicitationID)
			}
		}
	})
}

func TestAcceptedElicitationsAreCompleted(t *testing.T) {
	t.Parallel()
	for action, times := range map[string]int{"accept": 1, "decline": 0, "cancel": 0} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked *mcp.ElicitParams
				var completed, want []string
				opts := visitor(&asked, action, nil)
				opts.ElicitationCompleteHandler = func(_ context.Context, req *mcp.ElicitationCompleteNotificationRequest) {
					completed = append(completed, req.Params.ElicitationID)
				}
				call(t, connect(t, everything.New(nil), v2025, opts), "elicitUrl", nil)
				synctest.Wait()
				for range times {
					want = append(want, asked.ElicitationID)
				}
				if diff := cmp.Diff(want, completed); diff != "" {
					t.Errorf("completed (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestElicitUrlNeedsTheCapability(t *testing.T) {
	t.Parallel()
	for name, caps := range map[string]*mcp.ElicitationCapabilities{
		"none":             nil,
		"elicitation only": {},
		"form only":        {Form: &mcp.FormElicitationCapabilities{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{Elicitation: caps}}
			res := call(t, connect(t, everything.New(nil), v2025, opts), "elicitUrl", nil)
			wantToolError(t, res, "client does not support URL elicitation")

			cs := connectHTTP(t, everything.New(nil), v2026, opts)
			_, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "elicitUrl"})
			rpcErr := wantRPCError(t, err, -32021, "client does not support URL elicitation")
			wantJSON(t, rpcErr.Data, `{"requiredCapabilities": {"elicitation": {"url": {}}}}`)
		})
	}
}

func TestClientThatFailsToOpenAPageIsAToolError(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, visitor(nil, "", errors.New("no browser")))
	wantToolError(t, call(t, cs, "elicitUrl", nil), "no browser")
}

func TestElicitUrlAsksFrom2026(t *testing.T) {
	t.Parallel()
	wantQuestion(t, "elicitUrl", `{"method": "elicitation/create",
		"params": {"mode": "url", "url": "`+page+`", "message": "Please read about elicitation, on the web."}}`)
}

// There is nothing but the result: 2026-07-28 has no notification of completion.
func TestAcceptedElicitationsAreNotCompletedFrom2026(t *testing.T) {
	t.Parallel()
	response := answer2026(t, startFleet(t).URL, "elicitUrl", `{"action": "accept"}`)
	result, _ := response["result"].(map[string]any)
	wantJSON(t, result["content"], string(encode(t, []mcp.Content{&mcp.TextContent{Text: "The user agreed to open " + page}})))
}
