package everything_test

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/everything"
)

func complete(t *testing.T, cs *mcp.ClientSession, ref mcp.CompleteReference, argument, value string) (*mcp.CompleteResult, error) {
	t.Helper()
	return completeAfter(t, cs, ref, nil, argument, value)
}

// completeAfter completes an argument after others were chosen.
func completeAfter(t *testing.T, cs *mcp.ClientSession, ref mcp.CompleteReference, context *mcp.CompleteContext, argument, value string) (*mcp.CompleteResult, error) {
	t.Helper()
	return cs.Complete(t.Context(), &mcp.CompleteParams{
		Ref:      &ref,
		Argument: mcp.CompleteParamsArgument{Name: argument, Value: value},
		Context:  context,
	})
}

func promptRef(name string) mcp.CompleteReference {
	return mcp.CompleteReference{Type: "ref/prompt", Name: name}
}

func resourceRef(uri string) mcp.CompleteReference {
	return mcp.CompleteReference{Type: "ref/resource", URI: uri}
}

func TestCompletionOffersWhatBeginsWithTheValue(t *testing.T) {
	t.Parallel()
	const template = "test://static/resource/{id}"
	var ids []string
	for n := 1; n <= 100; n++ {
		ids = append(ids, strconv.Itoa(n))
	}
	tests := []struct {
		ref             mcp.CompleteReference
		argument, value string
		want            []string
	}{
		{promptRef("complex_prompt"), "style", "", []string{"casual", "formal", "technical", "friendly"}},
		{promptRef("complex_prompt"), "style", "f", []string{"formal", "friendly"}},
		{promptRef("complex_prompt"), "style", "formal", []string{"formal"}},
		{promptRef("complex_prompt"), "style", "F", []string{}},
		{promptRef("complex_prompt"), "temperature", "", []string{"0", "0.5", "0.7", "1.0"}},
		{promptRef("complex_prompt"), "temperature", "0.", []string{"0.5", "0.7"}},
		{promptRef("complex_prompt"), "resourceId", "", []string{}},
		{promptRef("complex_prompt"), "unknown", "", []string{}},
		{promptRef("simple_prompt"), "style", "", []string{}},
		{promptRef("resource_prompt"), "resourceId", "", ids},
		{promptRef("resource_prompt"), "resourceId", "10", []string{"10", "100"}},
		{promptRef("resource_prompt"), "style", "", []string{}},
		{resourceRef(template), "id", "", ids},
		{resourceRef(template), "id", "9", []string{"9", "90", "91", "92", "93", "94", "95", "96", "97", "98", "99"}},
		{resourceRef(template), "id", "100", []string{"100"}},
		{resourceRef(template), "id", "0", []string{}},
		{resourceRef(template), "id", "x", []string{}},
		{resourceRef(template), "name", "", []string{}},
		{resourceRef("test://static/resource/7"), "id", "", []string{}},
		{resourceRef("ui://hello-world/app.html"), "id", "", []string{}},
	}
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(nil)
		for _, tt := range tests {
			res, err := complete(t, cs, tt.ref, tt.argument, tt.value)
			if err != nil {
				t.Fatalf("%v %s=%q: %v", tt.ref, tt.argument, tt.value, err)
			}
			want := mcp.CompletionResultDetails{Values: tt.want, Total: len(tt.want)}
			if diff := cmp.Diff(want, res.Completion); diff != "" {
				t.Errorf("%v %s=%q (-want +got):\n%s", tt.ref, tt.argument, tt.value, diff)
			}
		}
	})
}

func TestCompletionDependsOnWhatWasChosen(t *testing.T) {
	t.Parallel()
	chose := func(arguments map[string]string) *mcp.CompleteContext {
		return &mcp.CompleteContext{Arguments: arguments}
	}
	all := []string{"Nairobi", "Mombasa", "Bergen", "Oslo", "Tromsø", "Arequipa", "Lima", "Hanoi", "Huế"}
	tests := []struct {
		context         *mcp.CompleteContext
		argument, value string
		want            []string
	}{
		{nil, "country", "", []string{"Kenya", "Norway", "Peru", "Vietnam"}},
		{nil, "country", "V", []string{"Vietnam"}},
		{chose(map[string]string{"city": "Oslo"}), "country", "", []string{"Kenya", "Norway", "Peru", "Vietnam"}},
		{nil, "city", "", all},
		{nil, "city", "H", []string{"Hanoi", "Huế"}},
		{chose(nil), "city", "", all},
		{chose(map[string]string{"country": ""}), "city", "", all},
		{chose(map[string]string{"state": "Norway"}), "city", "", all},
		{chose(map[string]string{"country": "Norway"}), "city", "", []string{"Bergen", "Oslo", "Tromsø"}},
		{chose(map[string]string{"country": "Norway", "x": "y"}), "city", "O", []string{"Oslo"}},
		{chose(map[string]string{"country": "Peru"}), "city", "O", []string{}},
		{chose(map[string]string{"country": "norway"}), "city", "", []string{}},
		{chose(map[string]string{"country": "Norway"}), "village", "", []string{}},
	}
	everyWay(t, func(t *testing.T, connect func(*mcp.ClientOptions) *mcp.ClientSession) {
		cs := connect(nil)
		for _, tt := range tests {
			res, err := completeAfter(t, cs, promptRef("weather_prompt"), tt.context, tt.argument, tt.value)
			if err != nil {
				t.Fatalf("%v %s=%q: %v", tt.context, tt.argument, tt.value, err)
			}
			want := mcp.CompletionResultDetails{Values: tt.want, Total: len(tt.want)}
			if diff := cmp.Diff(want, res.Completion); diff != "" {
				t.Errorf("%v %s=%q (-want +got):\n%s", tt.context, tt.argument, tt.value, diff)
			}
		}
	})
}

func TestCompletionOfTheUnknownIsInvalidParams(t *testing.T) {
	t.Parallel()
	cs := connect(t, everything.New(nil), v2025, nil)
	for _, tt := range []struct {
		ref  mcp.CompleteReference
		want string
	}{
		{promptRef("unknown"), `unknown prompt "unknown"`},
		{promptRef(""), `unknown prompt ""`},
		{resourceRef("test://static/resource/{x}"), "unknown resource"},
		{resourceRef("test://static/resource/101"), "unknown resource"},
		{resourceRef("file:///etc/passwd"), "unknown resource"},
		{resourceRef(""), "unknown resource"},
	} {
		_, err := complete(t, cs, tt.ref, "id", "")
		wantRPCError(t, err, -32602, tt.want)
	}
}

// The handler relies on the SDK to check these.
func TestMalformedCompletionsAreInvalidParams(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	for _, params := range []string{
		`{}`,
		`{"ref": null, "argument": {"name": "id", "value": ""}}`,
		`{"ref": {"type": "ref/tool", "name": "echo"}, "argument": {"name": "id", "value": ""}}`,
		`{"ref": {"type": "ref/prompt", "name": "complex_prompt"}}`,
		`{"ref": {"type": "ref/prompt", "name": "complex_prompt"}, "argument": {"name": "style", "value": 1}}`,
	} {
		messages := w.post(t, `{"jsonrpc": "2.0", "id": 1, "method": "completion/complete", "params": `+params+`}`)
		rpcErr, ok := messages[0]["error"].(map[string]any)
		if !ok || rpcErr["code"] != -32602.0 {
			t.Errorf("%s: %v, want error -32602", params, messages[0])
		}
	}
}
