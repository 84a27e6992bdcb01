package sdkcompat

import (
	"encoding/json"
	"testing"
)

func TestOnlyATokenThatWouldChangeIsReplaced(t *testing.T) {
	t.Parallel()
	const alias = `"alias"`
	for params, want := range map[string]string{
		``:                                         "",
		`{}`:                                       "",
		`{"_meta":{}}`:                             "",
		`{"_meta":{"progressToken":7}}`:            "",
		`{"_meta":{"progressToken":"p"}}`:          "",
		`{"_meta":{"progressToken" : "a\"b" }}`:    "",
		`{"_meta":{"progressToken":null}}`:         "",
		`{"_meta":{"progressToken":{}}}`:           "",
		`{"_meta":{"progressToken":true}}`:         "",
		`{"_meta":7,"progressToken":1.5}`:          "",
		`{"progressToken":1.5}`:                    "",
		`{"x":"progressToken","_meta":{}}`:         "",
		`{"x":"\"progressToken\":1.5","_meta":{}}`: "",
		`{"_meta":{"progressToken"`:                "",
		`{"arguments":{"progressToken":1.5},"_meta":{"progressToken":7}}`:              "",
		`{"arguments":{"progressToken":7},"_meta":{"progressToken":9007199254740993}}`: "9007199254740993",
		`{"_meta":{"x":1,"progressToken":9007199254740993}}`:                           "9007199254740993",
		`{"_meta":{"progressToken":1.0}}`:                                              "1.0",
		`{"_meta":{"progressToken":-0}}`:                                               "-0",
		`{"_meta":{"progressToken":"\ud800"}}`:                                         `"\ud800"`,
	} {
		replaced, token := WithExactToken(json.RawMessage(params), func() string { return "alias" })
		if string(token) != want {
			t.Errorf("%s: the token is %s", params, token)
		}
		if want == "" && string(replaced) != params {
			t.Errorf("%s became %s", params, replaced)
		}
		if want == "" {
			continue
		}
		var got struct {
			Meta struct {
				Token json.RawMessage `json:"progressToken"`
			} `json:"_meta"`
		}
		if err := json.Unmarshal(replaced, &got); err != nil || string(got.Meta.Token) != alias {
			t.Errorf("%s became %s, %v", params, replaced, err)
		}
		back := RestoreToken(json.RawMessage(`{"progress":1,"progressToken":"alias"}`), "alias", token)
		if string(back) != `{"progress":1,"progressToken":`+want+`}` {
			t.Errorf("%s: sent as %s", params, back)
		}
	}
	other := json.RawMessage(`{"progress":1,"progressToken":"other"}`)
	if got := RestoreToken(other, "alias", json.RawMessage("1.0")); string(got) != string(other) {
		t.Errorf("another token became %s", got)
	}
}
