package mcp_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// askingMeta are the fields of _meta of a client that can be asked everything.
const askingMeta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"raw","version":"1"},` +
	`"io.modelcontextprotocol/clientCapabilities":%s,` +
	`"io.modelcontextprotocol/logLevel":"debug","progressToken":%q`

// answerTo is a right answer to each kind of question, by the first part of its key.
var answerTo = map[string]string{
	"elicit": `{"action":"accept","content":{"answer":"yes"}}`,
	"sample": `{"role":"user","model":"m","content":{"type":"text","text":"sampled"}}`,
	"roots":  `{"roots":[{"uri":"file:///r","name":"r"}]}`,
}

// blockingRig has tools, a prompt and a resource that wait for what they ask:
//
//	interview asks for each kind of answer, one after the other, and says what came
//	again     is interview, and may be repeated
//	both      asks two questions at once
//	chatty    says something before, between and after two questions
//	patient   asks, and tells the test how that ended
func blockingRig() *rig {
	r := newRig(nil)
	interview := func(ctx context.Context, ss *mcp.ServerSession) (string, error) {
		elicited, err := ss.Elicit(ctx, &mcp.ElicitParams{Message: "?"})
		if err != nil {
			return "", err
		}
		sampled, err := ss.CreateMessage(ctx, &mcp.CreateMessageParams{MaxTokens: 1})
		if err != nil {
			return "", err
		}
		roots, err := ss.ListRoots(ctx, nil)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(elicited.Content["answer"], " ", sampled.Content.(*mcp.TextContent).Text, " ", roots.Roots[0].URI), nil
	}
	r.more = func(s *mcp.Server) {
		handler := func(f func(context.Context, *mcp.CallToolRequest) (string, error)) mcp.ToolHandler {
			return func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				text, err := f(ctx, req)
				if err != nil {
					return nil, err
				}
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil
			}
		}
		interviewing := handler(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
			return interview(ctx, req.Session)
		})
		schema := json.RawMessage(`{"type":"object"}`)
		s.AddTool(&mcp.Tool{Name: "interview", InputSchema: schema}, interviewing)
		s.AddTool(&mcp.Tool{Name: "again", InputSchema: schema, Annotations: &mcp.ToolAnnotations{IdempotentHint: true}}, interviewing)
		s.AddTool(&mcp.Tool{Name: "both", InputSchema: schema}, handler(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
			answers := make(chan string, 2)
			for i := range 2 {
				go func() {
					res, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: fmt.Sprint(i)})
					if err != nil {
						answers <- err.Error()
						return
					}
					answers <- res.Action
				}()
			}
			return <-answers + " " + <-answers, nil
		}))
		s.AddTool(&mcp.Tool{Name: "chatty", InputSchema: schema}, handler(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
			say := func(n float64) {
				_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: n})
				_ = req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: n})
			}
			say(1)
			between := make(chan struct{})
			go func() {
				defer close(between)
				<-r.gate("between")
				say(2)
			}()
			if _, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "first"}); err != nil {
				return "", err
			}
			<-between
			say(3)
			if _, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "second"}); err != nil {
				return "", err
			}
			say(4)
			return "done", nil
		}))
		s.AddTool(&mcp.Tool{Name: "patient", InputSchema: schema}, handler(func(ctx context.Context, req *mcp.CallToolRequest) (string, error) {
			res, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "?"})
			if err != nil {
				r.entered <- err.Error()
				return "", err
			}
			r.entered <- "waiting"
			select {
			case <-r.gate("patient"):
				return res.Action, nil
			case <-ctx.Done():
				r.entered <- "cancelled"
				return "", ctx.Err()
			}
		}))
		s.AddPrompt(&mcp.Prompt{Name: "interview"}, func(ctx context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			text, err := interview(ctx, req.Session)
			return &mcp.GetPromptResult{Description: text, Messages: []*mcp.PromptMessage{}}, err
		})
		s.AddResource(&mcp.Resource{URI: "news://interview", Name: "interview"}, func(ctx context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			text, err := interview(ctx, req.Session)
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "news://interview", Text: text}}}, err
		})
	}
	return r
}

// A rounded request is sent again and again, with answers.
type rounded struct {
	method, name, params string // params without _meta, and without its last brace
	requests             int
	capabilities         string // of the client; if empty, all
}

func roundedTool(name string) *rounded {
	return &rounded{method: "tools/call", name: name, params: fmt.Sprintf(`{"name":%q,"arguments":{"text":"t"}`, name)}
}

// A round is what a client got.
type round struct {
	Status        int
	ResultType    string
	RequestState  string
	InputRequests map[string]struct {
		Method string
		Params json.RawMessage
	}
	Result, Error json.RawMessage
	said          []string // before it, on the stream
}

// send sends the request, with a state and answers if there are any.
func (q *rounded) send(t testing.TB, c *fleettest.Client, state, answers string, change ...func(http.Header)) round {
	t.Helper()
	return readRound(t, q.post(t, c, state, answers, change...))
}

func (q *rounded) post(t testing.TB, c *fleettest.Client, state, answers string, change ...func(http.Header)) *http.Response {
	t.Helper()
	return c.Post(t, q.body(state, answers), append([]func(http.Header){named(q.method, q.name)}, change...)...)
}

func (q *rounded) body(state, answers string) string {
	q.requests++
	capabilities := cmp.Or(q.capabilities, `{"elicitation":{"form":{}},"sampling":{},"roots":{}}`)
	params := q.params + `,"_meta":{` + fmt.Sprintf(askingMeta, capabilities, fmt.Sprint("token", q.requests)) + `}`
	if state != "" {
		params += fmt.Sprintf(`,"requestState":%q`, state)
	}
	if answers != "" {
		params += `,"inputResponses":` + answers
	}
	return fleettest.Request(q.requests, q.method, params+"}")
}

func readRound(t testing.TB, res *http.Response) round {
	t.Helper()
	got := round{Status: res.StatusCode}
	var m *jsonrpcmsg.Message
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		for s := fleettest.NewStream(res); ; {
			if m = s.Message(t); m.IsResponse() {
				break
			}
			got.said = append(got.said, string(m.Params))
		}
	} else {
		m = (&fleettest.Client{}).Message(t, res)
	}
	got.Result, got.Error = m.Result, m.Error
	if m.Result != nil {
		must(t, json.Unmarshal(m.Result, &got))
	}
	return got
}

// answers returns a right answer to each question.
func (r round) answers() string {
	all := map[string]json.RawMessage{}
	for key := range r.InputRequests {
		asker, _, _ := strings.Cut(key, "-")
		all[key] = json.RawMessage(answerTo[asker])
	}
	data, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// Handlers that wait for their client's answers are served as they are, and each round
// arrives at another instance.
func TestHandlersThatWaitForAnswersServeClientsWithoutASession(t *testing.T) {
	t.Parallel()
	for what, q := range map[string]*rounded{
		"a tool":     roundedTool("interview"),
		"a prompt":   {method: "prompts/get", name: "interview", params: `{"name":"interview"`},
		"a resource": {method: "resources/read", name: "news://interview", params: `{"uri":"news://interview"`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: blockingRig(), instances: 3}, func(t *testing.T, s *simulation) {
				c := s.stateless(t)
				got := q.send(t, c, "", "")
				for i, method := range []string{"elicitation/create", "sampling/createMessage", "roots/list"} {
					if got.ResultType != "input_required" || len(got.InputRequests) != 1 || got.Status != 200 {
						t.Fatalf("round %d: %+v, %s%s", i, got, got.Result, got.Error)
					}
					for _, asked := range got.InputRequests {
						if asked.Method != method {
							t.Errorf("round %d asks for %s", i, asked.Method)
						}
					}
					got = q.send(t, c, got.RequestState, got.answers())
				}
				if got.ResultType != "complete" || !strings.Contains(string(got.Result), "yes sampled file:///r") {
					t.Errorf("the end is %s%s", got.Result, got.Error)
				}
			})
		})
	}
}

// Questions of one round that are not all answered are asked again.
func TestUnansweredQuestionsAreAskedAgain(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: blockingRig()}, func(t *testing.T, s *simulation) {
		c, q := s.stateless(t), roundedTool("both")
		got := q.send(t, c, "", "")
		if len(got.InputRequests) != 2 {
			t.Fatalf("asked %+v", got)
		}
		for _, answers := range []string{"", `{}`, `{"foreign":{},"elicit-9":{"action":"accept"}}`} {
			again := q.send(t, c, got.RequestState, answers)
			if len(again.InputRequests) != 2 || again.RequestState == got.RequestState {
				t.Fatalf("with the answers %s: %+v", answers, again)
			}
			got = again
		}
		got = q.send(t, c, got.RequestState, `{"elicit-1":{"action":"decline"}}`)
		if len(got.InputRequests) != 1 {
			t.Fatalf("with one answer: %+v", got)
		}
		got = q.send(t, c, got.RequestState, `{"elicit-2":{"action":"decline"}}`)
		if !strings.Contains(string(got.Result), "decline decline") {
			t.Errorf("the end is %s%s", got.Result, got.Error)
		}
	})
}

// Whoever answers must be who was asked, for the same request, in the round that is
// open. All else is refused alike, and loses nothing.
func TestRequestStatesThatAreNotTheRequests(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: blockingRig(), instances: 3, wrap: bearer}, func(t *testing.T, s *simulation) {
		c, mallory := s.stateless(t), s.stateless(t)
		c.Header.Set("Authorization", "Bearer alice")
		mallory.Header.Set("Authorization", "Bearer mallory")
		q := roundedTool("interview")
		first := q.send(t, c, "", "")
		open := q.send(t, c, first.RequestState, first.answers())
		other := roundedTool("interview").send(t, c, "", "")
		arguments, method := roundedTool("interview"), roundedTool("again")
		arguments.params = strings.Replace(arguments.params, `"t"`, `"u"`, 1)
		part := func(s string, i int) string { return strings.Split(s, ".")[i] }
		for what, test := range map[string]struct {
			q      *rounded
			client *fleettest.Client
			state  string
		}{
			"another user's":         {q, mallory, open.RequestState},
			"of other arguments":     {arguments, c, open.RequestState},
			"of another tool":        {method, c, open.RequestState},
			"of the round before":    {q, c, first.RequestState},
			"tampered":               {q, c, open.RequestState + "A"},
			"of another round":       {q, c, "mcpfleet." + part(open.RequestState, 1) + "." + part(other.RequestState, 2)},
			"made up":                {q, c, "mcpfleet." + strings.Repeat("A", 26) + "." + strings.Repeat("B", 26)},
			"with another alphabet":  {q, c, "mcpfleet." + strings.Repeat("}", 26) + "." + strings.Repeat("{", 26)},
			"nothing but the prefix": {q, c, "mcpfleet."},
			"a megabyte long":        {q, c, "mcpfleet." + strings.Repeat("A", 1<<20)},
		} {
			for range 3 { // on each instance
				got := test.q.send(t, test.client, test.state, open.answers())
				const want = `{"code":-32602,"message":"the requestState is not valid for this request, or no longer"}`
				if got.Status != 400 || string(got.Error) != want {
					t.Errorf("a state %s: %d %s%s", what, got.Status, got.Result, got.Error)
				}
			}
		}
		for answers, want := range map[string]string{
			`7`:                       "must be an object",
			`{"sample-2":null}`:       "an answer is an object",
			`{"sample-2":12345}`:      "an answer is an object",
			`{"sample-2":{}}`:         "its fields are not those of an answer",
			`{"elicit-1":{"x":1}}`:    `\"action\" must be`,
			`{"roots-3":{"roots":1}}`: `\"roots\" has the wrong type`,
			`{"roots-3":{}}`:          `\"roots\" must be an array`,
			`{"sample-2":{"role":"user","model":"m","content":[]}}`: `\"role\" and \"content\" are required`,
		} {
			got := q.send(t, c, open.RequestState, answers)
			if got.Status != 400 || !strings.Contains(string(got.Error), want) {
				t.Errorf("the answers %s: %d %s%s", answers, got.Status, got.Result, got.Error)
			}
		}
		got := q.send(t, c, open.RequestState, open.answers())
		got = q.send(t, c, got.RequestState, got.answers())
		if got.ResultType != "complete" {
			t.Errorf("the end is %s%s", got.Result, got.Error)
		}
	})
}

// Servers that share a prefix do not continue each other's calls, though a tool has the
// same name.
func TestRequestStatesOfAnotherServer(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: blockingRig()}, func(t *testing.T, s *simulation) {
		other, _ := s.joinNamed(t, "other", simulated{})
		c, q := s.stateless(t), roundedTool("interview")
		first := q.send(t, at(c, s.instances[0].url), "", "")
		if got := q.send(t, at(c, other.url), first.RequestState, first.answers()); got.Status != 400 || !strings.Contains(string(got.Error), "requestState") {
			t.Errorf("the other server says %d %s%s", got.Status, got.Result, got.Error)
		}
		if got := q.send(t, at(c, s.instances[1].url), first.RequestState, first.answers()); got.ResultType != "input_required" {
			t.Errorf("its own says %s%s", got.Result, got.Error)
		}
	})
}

// What the handler says goes to the request that is open, with what that asked for;
// what it says between two of them, to the later one.
func TestWhatIsSaidBetweenRoundsWaits(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: blockingRig(), instances: 3}, func(t *testing.T, s *simulation) {
		c, q := s.stateless(t), roundedTool("chatty")
		got := q.send(t, c, "", "")
		wantSaid(t, got, "token1", 1)
		s.open("between")
		time.Sleep(time.Second)
		got = q.send(t, c, got.RequestState, got.answers())
		wantSaid(t, got, "token2", 2, 3)
		got = q.send(t, c, got.RequestState, got.answers())
		wantSaid(t, got, "token3", 4)
		if got.ResultType != "complete" {
			t.Errorf("the end is %s%s", got.Result, got.Error)
		}
	})
}

func wantSaid(t *testing.T, got round, token string, numbers ...int) {
	t.Helper()
	var want []string
	for _, n := range numbers {
		want = append(want, fmt.Sprintf(`{"progress":%d,"progressToken":%q}`, n, token), fmt.Sprintf(`{"data":%d,"level":"info"}`, n))
	}
	var said []string
	for _, s := range got.said {
		var v map[string]any
		must(t, json.Unmarshal([]byte(s), &v))
		data, err := json.Marshal(v)
		must(t, err)
		said = append(said, string(data))
	}
	if fmt.Sprint(said) != fmt.Sprint(want) {
		t.Errorf("said %v, want %v", said, want)
	}
}

// When the instance has died that runs a call, the retry is told so. A call that may be
// repeated is run again, and asks nothing twice.
func TestTheInstanceOfAParkedCallDies(t *testing.T) {
	t.Parallel()
	for tool, repeats := range map[string]bool{"interview": false, "again": true} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: blockingRig(), instances: 3}, func(t *testing.T, s *simulation) {
				q := roundedTool(tool)
				got := q.send(t, at(s.stateless(t), s.instances[0].url), "", "")
				got = q.send(t, at(s.stateless(t), s.instances[1].url), got.RequestState, got.answers())
				s.instances[0].kill()
				c := at(s.stateless(t), s.instances[1].url)
				began := time.Now()
				got = q.send(t, c, got.RequestState, got.answers())
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("the retry was answered after %v", took)
				}
				if !repeats {
					if !strings.Contains(string(got.Error), "has died") {
						t.Errorf("the retry got %s%s", got.Result, got.Error)
					}
					return
				}
				if len(got.InputRequests) != 1 || got.InputRequests["roots-1"].Method != "roots/list" {
					t.Fatalf("the retry got %s%s", got.Result, got.Error)
				}
				got = q.send(t, at(c, s.instances[2].url), got.RequestState, got.answers())
				if !strings.Contains(string(got.Result), "yes sampled file:///r") {
					t.Errorf("the end is %s%s", got.Result, got.Error)
				}
			})
		})
	}
}

// A client that does not come back is waited for as long as the option says.
func TestAParkedCallWaitsForItsClientAndNoLonger(t *testing.T) {
	t.Parallel()
	options := func(o *fleet.Options) { o.AnswerWithin = time.Minute }
	simulate(t, simulated{rig: blockingRig(), options: options}, func(t *testing.T, s *simulation) {
		c, q := s.stateless(t), roundedTool("patient")
		got := q.send(t, c, "", "")
		began := time.Now()
		if text := <-s.entered; !strings.Contains(text, "did not answer in time") {
			t.Errorf("the handler got %q", text)
		}
		if took := time.Since(began); took < time.Minute || took > time.Minute+10*time.Second {
			t.Errorf("the handler waited %v", took)
		}
		time.Sleep(time.Second)
		if late := q.send(t, c, got.RequestState, got.answers()); late.Status != 400 {
			t.Errorf("a late answer: %+v", late)
		}
	})
}

// Closing the stream of a round cancels the call, wherever it runs.
func TestClosingTheStreamOfARetryCancelsTheCall(t *testing.T) {
	t.Parallel()
	for i, where := range []string{"here", "elsewhere"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{rig: blockingRig()}, func(t *testing.T, s *simulation) {
				c, q := s.stateless(t), roundedTool("patient")
				got := q.send(t, at(c, s.instances[0].url), "", "")
				res := q.post(t, at(c, s.instances[i].url), got.RequestState, got.answers())
				if text := soon(t, s.entered); text != "waiting" {
					t.Fatalf("the handler says %q", text)
				}
				must(t, res.Body.Close())
				if text := soon(t, s.entered); text != "cancelled" {
					t.Errorf("the handler says %q", text)
				}
			})
		})
	}
}

// Shutdown does not wait for parked calls; those that are being answered finish.
func TestShutdownWithParkedCalls(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: blockingRig()}, func(t *testing.T, s *simulation) {
		c, q := s.stateless(t), roundedTool("interview")
		got := q.send(t, at(c, s.instances[0].url), "", "")
		began := time.Now()
		must(t, s.instances[0].handler.Shutdown(t.Context()))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Shutdown took %v", took)
		}
		got = q.send(t, at(c, s.instances[1].url), got.RequestState, got.answers())
		if !strings.Contains(string(got.Error), "has died") {
			t.Errorf("the retry got %s%s", got.Result, got.Error)
		}
	})
}

// Parked calls have a bound of their own: other calls are served beside them.
func TestParkedCallsAreBounded(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: blockingRig(), wrap: bearer}, func(t *testing.T, s *simulation) {
		c := at(s.stateless(t), s.instances[0].url)
		c.Header.Set("Authorization", "Bearer alice")
		var parked []round
		for range 64 {
			got := roundedTool("interview").send(t, c, "", "")
			if got.ResultType != "input_required" {
				t.Fatalf("%s%s", got.Result, got.Error)
			}
			parked = append(parked, got)
		}
		if got := roundedTool("interview").send(t, c, "", ""); !strings.Contains(string(got.Error), "too many calls wait") {
			t.Errorf("one more got %s%s", got.Result, got.Error)
		}
		wantText(t, c.Message(t, statelessCall(t, c, "echo", `{"text":"hi"}`)), "hi")
		q := roundedTool("interview")
		if got := q.send(t, c, parked[0].RequestState, parked[0].answers()); got.ResultType != "input_required" {
			t.Errorf("a retry got %s%s", got.Result, got.Error)
		}
		other := at(s.stateless(t), s.instances[0].url)
		other.Header.Set("Authorization", "Bearer bob")
		if got := roundedTool("interview").send(t, other, "", ""); got.ResultType != "input_required" {
			t.Errorf("another user got %s%s", got.Result, got.Error)
		}
	})
}
