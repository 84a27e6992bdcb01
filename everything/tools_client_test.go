package everything_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

// respondingClient returns the options of a client that samples by repeating the
// prompt, and fills in the name of every form.
func respondingClient() *mcp.ClientOptions {
	return &mcp.ClientOptions{
		CreateMessageHandler: func(_ context.Context, req *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			prompt := req.Params.Messages[0].Content.(*mcp.TextContent).Text
			return sample("sampled: " + prompt), nil
		},
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return accept(map[string]any{"name": "Ada"}), nil
		},
	}
}

func sample(text string) *mcp.CreateMessageResult {
	return &mcp.CreateMessageResult{Content: &mcp.TextContent{Text: text}, Model: "test", Role: "assistant"}
}

func accept(content map[string]any) *mcp.ElicitResult {
	return &mcp.ElicitResult{Action: "accept", Content: content}
}

// sampler returns the options of a client that responds to every sampling request
// in the same way and keeps the last one.
func sampler(last **mcp.CreateMessageParams, res *mcp.CreateMessageResult, err error) *mcp.ClientOptions {
	return &mcp.ClientOptions{
		CreateMessageHandler: func(_ context.Context, req *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			if last != nil {
				*last = req.Params
			}
			return res, err
		},
	}
}

func TestSampleLLMSamplesThroughTheClient(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		var asked *mcp.CreateMessageParams
		cs := connect(sampler(&asked, sample("forty-two"), nil))

		wantText(t, call(t, cs, "sampleLLM", map[string]any{"prompt": "why?"}), "LLM sampling result: forty-two")
		wantJSON(t, asked, `{
			"messages": [{"role": "user", "content": {"type": "text", "text": "Resource sampleLLM context: why?"}}],
			"systemPrompt": "You are a helpful test server.",
			"maxTokens": 100,
			"temperature": 0.7,
			"includeContext": "thisServer"
		}`)

		call(t, cs, "sampleLLM", map[string]any{"prompt": "why?", "maxTokens": 7})
		if asked.MaxTokens != 7 {
			t.Errorf("maxTokens is %d, want 7", asked.MaxTokens)
		}
	})
}

func TestSampleLLMJoinsTheTextsOfASample(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(&mcp.ClientOptions{
			CreateMessageWithToolsHandler: func(context.Context, *mcp.CreateMessageWithToolsRequest) (*mcp.CreateMessageWithToolsResult, error) {
				return &mcp.CreateMessageWithToolsResult{Role: "assistant", Model: "test", Content: []mcp.Content{
					&mcp.TextContent{Text: "one"},
					&mcp.ImageContent{Data: []byte("x"), MIMEType: "image/png"},
					&mcp.TextContent{Text: "two"},
				}}, nil
			},
		})
		wantText(t, call(t, cs, "sampleLLM", map[string]any{"prompt": "?"}), "LLM sampling result: one\ntwo")
	})
}

func TestSampleWithoutTextIsAToolError(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(sampler(nil, &mcp.CreateMessageResult{
			Content: &mcp.ImageContent{Data: []byte("x"), MIMEType: "image/png"}, Model: "test", Role: "assistant",
		}, nil))
		wantToolError(t, call(t, cs, "sampleLLM", map[string]any{"prompt": "?"}), "the client's sample has no text")
	})
}

// A client of 2026-07-28 that cannot sample never calls again, so there is nothing
// to test with it.
func TestClientThatRefusesToSampleIsAToolError(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, sampler(nil, nil, errors.New("user said no")))
	wantToolError(t, call(t, cs, "sampleLLM", map[string]any{"prompt": "?"}), "user said no")
}

func TestClientThatFailsAFormIsAToolError(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, elicitor(nil, nil, errors.New("no screen")))
	wantToolError(t, call(t, cs, "elicitInputs", nil), "no screen")
}

func TestMissingCapabilityIsAToolErrorBefore2026(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, nil)
	wantToolError(t, call(t, cs, "sampleLLM", map[string]any{"prompt": "?"}), "client does not support sampling")
	wantToolError(t, call(t, cs, "elicitInputs", nil), "client does not support form elicitation")
}

func TestMissingCapabilityIsAProtocolErrorFrom2026(t *testing.T) {
	t.Parallel()
	for _, connect := range []func(*testing.T, *mcp.Server, string, *mcp.ClientOptions) *mcp.ClientSession{connect, connectHTTP} {
		cs := connect(t, everything.New(nil), v2026, nil)

		_, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "sampleLLM", Arguments: map[string]any{"prompt": "?"}})
		rpcErr := wantRPCError(t, err, -32021, "client does not support sampling")
		wantJSON(t, rpcErr.Data, `{"requiredCapabilities": {"sampling": {}}}`)

		_, err = cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "elicitInputs"})
		rpcErr = wantRPCError(t, err, -32021, "client does not support form elicitation")
		wantJSON(t, rpcErr.Data, `{"requiredCapabilities": {"elicitation": {"form": {}}}}`)
	}
}

func TestFormCapabilityIsRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		caps *mcp.ElicitationCapabilities
		ok   bool
	}{
		{"nothing but elicitation", &mcp.ElicitationCapabilities{}, true},
		{"form", &mcp.ElicitationCapabilities{Form: &mcp.FormElicitationCapabilities{}}, true},
		{"url only", &mcp.ElicitationCapabilities{URL: &mcp.URLElicitationCapabilities{}}, false},
		{"form and url", &mcp.ElicitationCapabilities{
			Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := respondingClient()
			opts.Capabilities = &mcp.ClientCapabilities{Elicitation: tt.caps}
			res := call(t, connect(t, everything.New(nil), v2025, opts), "elicitInputs", nil)
			if res.IsError == tt.ok {
				t.Errorf("isError is %v: %s", res.IsError, soleText(t, res))
			}
		})
	}
}

// elicitor returns the options of a client that fills in every form in the same
// way and keeps the last one.
func elicitor(last **mcp.ElicitParams, res *mcp.ElicitResult, err error) *mcp.ClientOptions {
	return &mcp.ClientOptions{
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			if last != nil {
				*last = req.Params
			}
			return res, err
		},
	}
}

func TestElicitInputsPresentsTheForm(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		var asked *mcp.ElicitParams
		cs := connect(elicitor(&asked, &mcp.ElicitResult{Action: "decline"}, nil))
		call(t, cs, "elicitInputs", nil)
		if asked.Mode != "form" || asked.Message != "Please provide inputs for the following fields:" {
			t.Errorf("asked %q in mode %q", asked.Message, asked.Mode)
		}
		schema := asked.RequestedSchema.(map[string]any)
		wantJSON(t, schema["required"], `["name"]`)
		properties := schema["properties"].(map[string]any)
		for name, p := range properties {
			if property := p.(map[string]any); property["title"] == nil || property["description"] == nil {
				t.Errorf("field %s has no title or no description", name)
			} else if name != "name" && name != "check" {
				delete(property, "title")
			}
			delete(p.(map[string]any), "description")
		}
		wantJSON(t, properties, `{
			"name": {"type": "string", "title": "Full Name"},
			"check": {"type": "boolean", "title": "Agree to terms"},
			"color": {"type": "string", "default": "blue"},
			"email": {"type": "string", "format": "email"},
			"homepage": {"type": "string", "format": "uri"},
			"birthdate": {"type": "string", "format": "date"},
			"integer": {"type": "integer", "minimum": 1, "maximum": 100, "default": 42},
			"number": {"type": "number", "minimum": 0, "maximum": 1000, "default": 3.14},
			"petType": {
				"type": "string",
				"enum": ["cats", "dogs", "birds", "fish", "reptiles"],
				"enumNames": ["Cats", "Dogs", "Birds", "Fish", "Reptiles"],
				"default": "dogs"
			}
		}`)
	})
}

func TestElicitInputsShowsTheResponse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		response *mcp.ElicitResult
		want     string
	}{
		{"declined", &mcp.ElicitResult{Action: "decline"}, `{
  "action": "decline"
}`},
		{"cancelled", &mcp.ElicitResult{Action: "cancel"}, `{
  "action": "cancel"
}`},
		{"accepted, with defaults for what is missing", accept(map[string]any{"name": "<Ada & Co>"}), `{
  "action": "accept",
  "content": {
    "color": "blue",
    "integer": 42,
    "name": "<Ada & Co>",
    "number": 3.14,
    "petType": "dogs"
  }
}`},
		{"accepted, with everything", accept(map[string]any{
			"name": "Ada", "check": true, "color": "red", "email": "ada@example.com", "homepage": "https://example.com",
			"birthdate": "1815-12-10", "integer": 7, "number": 0.5, "petType": "fish",
		}), `{
  "action": "accept",
  "content": {
    "birthdate": "1815-12-10",
    "check": true,
    "color": "red",
    "email": "ada@example.com",
    "homepage": "https://example.com",
    "integer": 7,
    "name": "Ada",
    "number": 0.5,
    "petType": "fish"
  }
}`},
	}
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				response := *tt.response // the client adds defaults to its content
				response.Content = maps.Clone(response.Content)
				cs := connect(elicitor(nil, &response, nil))
				wantText(t, call(t, cs, "elicitInputs", nil), "Elicitation result: "+tt.want)
			})
		}
	})
}

// The SDK's client does not send such answers, so they are sent by hand.
func TestFormThatIsFilledInWrongIsAToolErrorFrom2026(t *testing.T) {
	t.Parallel()
	endpoint := startFleet(t).URL
	for content, want := range map[string]string{
		`null`:                                  `missing properties: ["name"]`,
		`{"name": 1}`:                           "does not match requested schema",
		`{"name": "Ada", "integer": 101}`:       "does not match requested schema",
		`{"name": "Ada", "petType": "dragons"}`: "does not match requested schema",
	} {
		result, _ := answer2026(t, endpoint, "elicitInputs", `{"action": "accept", "content": `+content+`}`)["result"].(map[string]any)
		if text := fmt.Sprint(result["content"]); result["isError"] != true || !strings.Contains(text, want) {
			t.Errorf("content %s: %v", content, result)
		}
	}
}

// The SDK accepts it, although the form has a required field.
func TestAcceptedFormWithoutContentIsAToolError(t *testing.T) {
	t.Parallel()
	everyWayToAsk(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(elicitor(nil, accept(nil), nil))
		wantToolError(t, call(t, cs, "elicitInputs", nil), `missing properties: ["name"]`)
	})
}

// Only requests of 2026-07-28 carry input responses. Other clients get a request.
func TestInputResponsesOfOlderClientsAreIgnored(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, elicitor(nil, &mcp.ElicitResult{Action: "decline"}, nil))
	res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{
		Name:           "elicitInputs",
		InputResponses: mcp.InputResponseMap{"inputs": accept(map[string]any{"name": "forged"})},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, res, "Elicitation result: {\n  \"action\": \"decline\"\n}")
}

func TestServerRequestsWithoutResponseEndAfterTenMinutes(t *testing.T) {
	t.Parallel()
	for tool, args := range map[string]any{"elicitInputs": nil, "sampleLLM": map[string]any{"prompt": "?"}} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := &silentClient{}
				cs := connect(t, everything.New(nil), v2025, client.options())
				start := time.Now()
				wantToolError(t, call(t, cs, tool, args), "the client did not answer within 10m0s")
				if took := time.Since(start); took != 10*time.Minute {
					t.Errorf("it took %v, want 10m", took)
				}
				synctest.Wait()
				if !client.released {
					t.Error("the client was not told that the request was cancelled")
				}
			})
		})
	}
}

func TestCancelledCallCancelsItsServerRequest(t *testing.T) {
	t.Parallel()
	for tool, args := range map[string]any{"elicitInputs": nil, "sampleLLM": map[string]any{"prompt": "?"}} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := &silentClient{}
				server := everything.New(nil)
				ended := recordCalls(server)
				cs := connect(t, server, v2025, client.options())
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := cs.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: args}); err == nil {
					t.Error("the cancelled call succeeded")
				}
				synctest.Wait()
				select {
				case res := <-ended:
					wantToolError(t, res, "canceled")
				default:
					t.Fatal("the tool still waits after its call was cancelled")
				}
				if !client.released {
					t.Error("the client was not told that the request was cancelled")
				}
			})
		})
	}
}

// silentClient never responds. It must be used in a bubble, after whose
// [synctest.Wait] its fields may be read.
type silentClient struct {
	released bool
}

func (c *silentClient) options() *mcp.ClientOptions {
	return &mcp.ClientOptions{
		CreateMessageHandler: func(ctx context.Context, _ *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return nil, c.wait(ctx)
		},
		ElicitationHandler: func(ctx context.Context, _ *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return nil, c.wait(ctx)
		},
	}
}

func (c *silentClient) wait(ctx context.Context) error {
	<-ctx.Done()
	c.released = true
	return ctx.Err()
}
