package roundstore_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/roundstore"
)

func TestAStateComesBackAsItWasSent(t *testing.T) {
	t.Parallel()
	sent := roundstore.NewState(roundstore.NewCall())
	got, ok := roundstore.ParseState(sent.String())
	if !ok || got != sent || !roundstore.IsState(sent.String()) {
		t.Errorf("%q is %v, %v", sent, got, ok)
	}
	if strings.Contains(sent.String(), sent.Hash()) || roundstore.NewState(sent.Call).Hash() == sent.Hash() {
		t.Errorf("the hash of %q is %q", sent, sent.Hash())
	}
}

// What is taken for one of our states is exactly what we send, and so cannot name
// another key.
func FuzzParseState(f *testing.F) {
	a, b := strings.Repeat("A", 26), strings.Repeat("7", 26)
	for _, s := range []string{"", "mcpfleet.", "mcpfleet." + a + "." + b, "mcpfleet." + a + "." + b + "x", "mcpfleet." + a + ".}" + b[1:], "mcpfleet." + a + b + "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := roundstore.ParseState(text)
		switch {
		case !ok && s != (roundstore.State{}):
			t.Errorf("%q is refused, and is %v", text, s)
		case ok && (s.String() != text || !roundstore.IsState(text) || strings.ContainsAny(s.Call+s.Round, "{}:.")):
			t.Errorf("%q is %v", text, s)
		}
	})
}

// A retry is of the same call if it says the same, in whatever form.
func TestAClaimSaysWhoseAndOfWhatACallIs(t *testing.T) {
	t.Parallel()
	claim := roundstore.Claim("server", "user", "tools/call", "tool", json.RawMessage(`{"a":1,"b":[1.50,"x"],"c":12345678901234567890}`))
	if same := roundstore.Claim("server", "user", "tools/call", "tool", json.RawMessage(` {"c":12345678901234567890, "b":[1.50, "\u0078"],"a":1}`)); same != claim {
		t.Error("the order of fields and white space matter")
	}
	if roundstore.Claim("server", "u", "m", "n", nil) != roundstore.Claim("server", "u", "m", "n", json.RawMessage(`{}`)) || roundstore.Claim("server", "u", "m", "n", nil) != roundstore.Claim("server", "u", "m", "n", json.RawMessage(`null`)) {
		t.Error("no arguments are not the same as none")
	}
	for _, other := range []string{
		roundstore.Claim("other", "user", "tools/call", "tool", json.RawMessage(`{"a":1,"b":[1.50,"x"],"c":12345678901234567890}`)),
		roundstore.Claim("server", "use", "rtools/call", "tool", json.RawMessage(`{"a":1,"b":[1.50,"x"],"c":12345678901234567890}`)),
		roundstore.Claim("server", "user2", "tools/call", "tool", json.RawMessage(`{"a":1,"b":[1.50,"x"],"c":12345678901234567890}`)),
		roundstore.Claim("server", "user", "tools/call", "tool2", json.RawMessage(`{"a":1,"b":[1.50,"x"],"c":12345678901234567890}`)),
		roundstore.Claim("server", "user", "tools/call", "tool", json.RawMessage(`{"a":1,"b":[1.50,"x"],"c":12345678901234567891}`)),
		roundstore.Claim("server", "user", "tools/call", "tool", json.RawMessage(`{"a":1,"b":[1.50,"x"],"c":12345678901234567890} {}`)),
	} {
		if other == claim {
			t.Error("two calls have one claim")
		}
	}
}
