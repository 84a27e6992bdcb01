package eventlog

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
)

func TestIDsParseToWhatTheyWere(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{
		Standalone, NewCallStream(json.RawMessage(`1`)), NewCallStream(json.RawMessage(`"a/b?c"`)),
		NewCallStream(json.RawMessage(`"` + strings.Repeat("x", 500) + `"`)),
	} {
		for _, id := range []ID{
			{Stream: stream, Nonce: NewNonce()}, {Stream: stream, Offset: 999_999_999_999_999, Nonce: NewNonce()}, {Stream: stream, Offset: endOffset},
		} {
			got, err := ParseID(id.String())
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			if diff := cmp.Diff(id, got); diff != "" {
				t.Error("-want +got:\n" + diff)
			}
			if got.IsEnd() != (id == End(stream)) {
				t.Errorf("%s: IsEnd is %v", id, got.IsEnd())
			}
		}
	}
}

func TestForeignIDsAreRefused(t *testing.T) {
	t.Parallel()
	call := NewCallStream(json.RawMessage(`1`))
	for _, s := range []string{
		"", "1", "g", "g.", "g.0", "g.0.", "g.0.ABC", "g.0.ABCDEFG", "g.-1.ABCDEF", "g.1e3.ABCDEF", "g.0.ABCDE}", "g.0.ABCDEF ", " g.0.ABCDEF",
		"g.0.ABCDEF\n", "g.1234567890123456.ABCDEF", "g.END.", "G.0.ABCDEF", "x.0.ABCDEF", "gg.0.ABCDEF", "c.0.ABCDEF", "c123.0.ABCDEF",
		call[:16] + ".0.ABCDEF", call + "*.0.ABCDEF", call + "{.0.ABCDEF", call + ":log.0.ABCDEF", call + strings.Repeat("A", 200) + ".0.ABCDEF",
		"g.0.ÄBCDEF", "g.٣.ABCDEF",
	} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q is %+v", s, id)
		}
	}
}

func TestAStreamNamesItsCall(t *testing.T) {
	t.Parallel()
	for _, id := range []string{`0`, `-7`, `123456789012345678901234567890`, `"a"`, `""`, `"é\n\u0000"`, `"` + strings.Repeat("x", maxNamedCall-2) + `"`} {
		stream := NewCallStream(json.RawMessage(id))
		parsed, err := ParseID(ID{Stream: stream, Offset: 0, Nonce: NewNonce()}.String())
		if err != nil {
			t.Fatalf("the stream of %s: %v", id, err)
		}
		if got := string(CallOf(parsed.Stream)); got != id {
			t.Errorf("the stream of %s names %q", id, got)
		}
	}
	if got := CallOf(NewCallStream(json.RawMessage(`"` + strings.Repeat("x", maxNamedCall) + `"`))); got != nil {
		t.Errorf("a long id is named: %s", got)
	}
}

func TestNoTwoStreamsHaveOneName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		s := NewCallStream(json.RawMessage(`1`))
		if seen[s] || IsStandalone(s) {
			t.Fatalf("%s again", s)
		}
		seen[s] = true
	}
}

func FuzzID(f *testing.F) {
	for _, seed := range []string{
		"g.0.ABCDEF", "g.end.", "cABCDEFGHIJKLMNOP.12.ABCDEF", "cABCDEFGHIJKLMNOP-MQ.end.", "cABCDEFGHIJKLMNOP-e30.1.ABCDEF", "cABCDEFGHIJKLMNOP-.1.ABCDEF",
		"cABCDEFGHIJKLMNOP-IiIsInJlc3VsdCI6MX0.1.ABCDEF", "cABCDEFGHIJKLMNOP-ImEiCg.1.ABCDEF",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		again, err := ParseID(id.String())
		if err != nil || again != id {
			t.Fatalf("%q parses to %+v, its form to %+v, %v", s, id, again, err)
		}
		// What a client claims to be a call's id goes into a message.
		call := CallOf(id.Stream)
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
		if id := CallOf(stream); id != nil {
			if again, err := jsonrpcmsg.CheckID(id); err != nil || !json.Valid(again) {
				t.Fatalf("%q names the call %q", stream, id)
			}
		}
	})
}
