package auth

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzChallenge looks for what breaks out of a challenge's quotes.
func FuzzChallenge(f *testing.F) {
	f.Add("invalid_token", "the token is not valid", "mcp", "write")
	f.Add("", "", "", "")
	f.Add("a\"b", "a\\", "\r\nX: y", "caf\u00e9\x7f")
	r, err := NewResource(testResource, &ResourceOptions{Verifier: &tokenBook{}, AuthorizationServers: []string{testIssuer}, Scopes: []string{"mcp"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, code, description, scope, other string) {
		params, err := parseChallenge(r.challenge(&oauthError{code: code, description: description, scopes: []string{scope, other}}))
		if err != nil {
			t.Fatal(err)
		}
		want := 4
		if code == "" {
			want = 2
		}
		if len(params) != want || params[len(params)-1] != (challengeParam{"resource_metadata", metadataURL}) {
			t.Errorf("parameters %q", params)
		}
	})
}

// FuzzOperations compares what we read in a body with what the most careless
// reader reads: names in any case, the last of two.
func FuzzOperations(f *testing.F) {
	for _, body := range []string{
		call("tools/call", `{"name":"a"}`), call("resources/read", `{"uri":"a://"}`), "[" + call("prompts/get", `{"name":"a"}`) + "]",
		`{"id":1,"result":{}}`, `{"METHOD":"tools/call"}`, `{"method":"a","method":"b"}`, `{"param\u017f":{},"method":"tools/call"}`,
		call("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["a"]}}`), call("tools/call", `{"name":null}`), "[[]]", "{} {}",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		operations, err := operationsIn(body)
		if err != nil {
			return
		}
		type params struct {
			Name, URI     any
			Notifications struct {
				ResourceSubscriptions []string
			}
		}
		type message struct {
			Method string
			Params params
		}
		var messages []message
		if json.Unmarshal(body, &messages) != nil {
			var one message
			if json.Unmarshal(body, &one) != nil {
				return // nobody reads it
			}
			messages = []message{one}
		}
		for _, m := range messages {
			if m.Method == "" {
				continue
			}
			names := []string{""}
			switch m.Method {
			case "tools/call", "prompts/get":
				names[0], _ = m.Params.Name.(string)
			case "resources/read", "resources/subscribe", "resources/unsubscribe":
				names[0], _ = m.Params.URI.(string)
			case "subscriptions/listen":
				names = append(names, m.Params.Notifications.ResourceSubscriptions...)
			}
			for _, name := range names {
				if len(operations) == 0 || operations[0] != (operation{m.Method, name}) {
					t.Fatalf("%s asks for %s %q, but we read %q", body, m.Method, name, operations)
				}
				operations = operations[1:]
			}
		}
		if len(operations) != 0 && !strings.Contains(string(body), "method") {
			t.Errorf("%s asks for nothing, but we read %q", body, operations)
		}
	})
}
