package node

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

func TestEventIDsParseToWhatTheyWere(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{
		standaloneStream, newCallStream(json.RawMessage(`1`)), newCallStream(json.RawMessage(`"a/b?c"`)),
		newCallStream(json.RawMessage(`"` + strings.Repeat("x", 500) + `"`)),
	} {
		for _, id := range []EventID{
			{Stream: stream, Tag: newTag()}, {Stream: stream, Offset: 999_999_999_999_999, Tag: newTag()}, {Stream: stream, Offset: endOffset},
		} {
			got, err := ParseEventID(id.String())
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			if diff := cmp.Diff(id, got); diff != "" {
				t.Error("-want +got:\n" + diff)
			}
			if got.IsEnd() != (id.Offset == endOffset) {
				t.Errorf("%s: IsEnd is %v", id, got.IsEnd())
			}
		}
	}
}

func TestForeignEventIDsAreRefused(t *testing.T) {
	t.Parallel()
	call := newCallStream(json.RawMessage(`1`))
	for _, s := range []string{
		"", "1", "g", "g.", "g.0", "g.0.", "g.0.ABC", "g.0.ABCDEFG", "g.-1.ABCDEF", "g.1e3.ABCDEF", "g.0.ABCDE}", "g.0.ABCDEF ", " g.0.ABCDEF",
		"g.0.ABCDEF\n", "g.1234567890123456.ABCDEF", "g.END.", "G.0.ABCDEF", "x.0.ABCDEF", "gg.0.ABCDEF", "c.0.ABCDEF", "c123.0.ABCDEF",
		call[:16] + ".0.ABCDEF", call + "*.0.ABCDEF", call + "{.0.ABCDEF", call + ":log.0.ABCDEF", call + strings.Repeat("A", 200) + ".0.ABCDEF",
		"g.0.ÄBCDEF", "g.٣.ABCDEF",
	} {
		if id, err := ParseEventID(s); err == nil {
			t.Errorf("%q is %+v", s, id)
		}
	}
}

func TestAStreamNamesItsCall(t *testing.T) {
	t.Parallel()
	for _, id := range []string{`0`, `-7`, `123456789012345678901234567890`, `"a"`, `""`, `"é\n\u0000"`, `"` + strings.Repeat("x", maxNamedCall-2) + `"`} {
		stream := newCallStream(json.RawMessage(id))
		parsed, err := ParseEventID(EventID{Stream: stream, Offset: 0, Tag: newTag()}.String())
		if err != nil {
			t.Fatalf("the stream of %s: %v", id, err)
		}
		if got := string(callOf(parsed.Stream)); got != id {
			t.Errorf("the stream of %s names %q", id, got)
		}
	}
	if got := callOf(newCallStream(json.RawMessage(`"` + strings.Repeat("x", maxNamedCall) + `"`))); got != nil {
		t.Errorf("a long id is named: %s", got)
	}
}

func TestALostCallIsAnsweredBehindItsEnd(t *testing.T) {
	t.Parallel()
	e := EventID{Stream: newCallStream(json.RawMessage(`"q"`)), Offset: 3, Tag: newTag()}.Lost(errors.New("gone"))
	if want := `{"jsonrpc":"2.0","id":"q","error":{"code":-32603,"message":"gone"}}`; string(e.Data) != want {
		t.Errorf("data %s, want %s", e.Data, want)
	}
	if id, err := ParseEventID(e.ID); err != nil || !id.IsEnd() {
		t.Errorf("the id %q does not stand behind the end", e.ID)
	}
}

func TestNoTwoStreamsHaveOneName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		s := newCallStream(json.RawMessage(`1`))
		if seen[s] || IsStandalone(s) {
			t.Fatalf("%s again", s)
		}
		seen[s] = true
	}
}

func FuzzEventID(f *testing.F) {
	for _, seed := range []string{
		"g.0.ABCDEF", "g.end.", "cABCDEFGHIJKLMNOP.12.ABCDEF", "cABCDEFGHIJKLMNOP-MQ.end.", "cABCDEFGHIJKLMNOP-e30.1.ABCDEF", "cABCDEFGHIJKLMNOP-.1.ABCDEF",
		"cABCDEFGHIJKLMNOP-IiIsInJlc3VsdCI6MX0.1.ABCDEF", "cABCDEFGHIJKLMNOP-ImEiCg.1.ABCDEF",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseEventID(s)
		if err != nil {
			return
		}
		again, err := ParseEventID(id.String())
		if err != nil || again != id {
			t.Fatalf("%q parses to %+v, its form to %+v, %v", s, id, again, err)
		}
		// What a client claims to be a call's id goes into a message.
		call := callOf(id.Stream)
		m, err := jsonrpcmsg.Decode(jsonrpcmsg.EncodeError(call, errors.New("lost")))
		if call != nil && (err != nil || string(m.ID) != string(call)) {
			t.Fatalf("%q names the call %q: %v", s, call, err)
		}
	})
}

func FuzzCallOf(f *testing.F) {
	f.Add("c-MQ")
	f.Add("c-")
	f.Add("c-IiIg")
	f.Fuzz(func(t *testing.T, stream string) {
		if id := callOf(stream); id != nil {
			if again, err := jsonrpcmsg.CheckID(id); err != nil || !json.Valid(again) {
				t.Fatalf("%q names the call %q", stream, id)
			}
		}
	})
}
