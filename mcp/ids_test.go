package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// Of each id the client gets back the very bytes, in a JSON response and in a
// stream, and none is taken for another: 7 is not "7".
func TestIDsThatLookAlike(t *testing.T) {
	t.Parallel()
	ids := []string{
		`7`, `"7"`, `-7`, `"-7"`, `0`, `-0`, `"0"`, `""`, `" 7"`, `"07"`, `"7.0"`, `"null"`,
		`9007199254740993`, `9007199254740992`, `9223372036854775807`, `9223372036854775808`, `18446744073709551616`,
		`123456789012345678901234567890123456789012345678901234567890`, `123456789012345678901234567890123456789012345678901234567891`,
		`"é"`, `"\u00e8"`, `"\ud800"`, `"a\"b"`, `"a/b"`, `"{x}"`, `"\u0000"`, `"\r\n\ndata: x"`,
	}
	for _, streams := range []bool{false, true} {
		t.Run(fmt.Sprintf("streams=%v", streams), func(t *testing.T) {
			t.Parallel()
			simulate(t, simulated{}, func(t *testing.T, s *simulation) {
				c := s.session(t)
				var wg sync.WaitGroup
				for i, id := range ids {
					name := fmt.Sprint("call ", i)
					wg.Go(func() {
						res := c.Post(t, fleettest.Request(json.RawMessage(id), "tools/call", fmt.Sprintf(`{"name":"wait","arguments":{"name":%q}}`, name)))
						m := c.Message(t, res)
						if string(m.ID) != id {
							t.Errorf("the response to %s has the id %s", id, m.ID)
						}
						if got := text(t, m); got != "went on" {
							t.Errorf("the response to %s says %q", id, got)
						}
					})
					s.runs(t, name)
				}
				if streams {
					time.Sleep(2 * time.Second)
				}
				for i := range ids {
					s.open(fmt.Sprint("call ", i))
				}
				wg.Wait()
			})
		})
	}
}

func TestDuplicateIDIsRefusedWhereTheFirstRuns(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		here, there := at(c, s.instances[0].url), at(c, s.instances[1].url)
		for _, id := range []struct{ first, again string }{{`7`, `7`}, {`"a"`, `"a"`}, {`"b"`, `"\u0062"`}} {
			name := "call " + id.first
			first := make(chan response, 1)
			go func() {
				first <- read(t, here.Post(t, fleettest.Request(json.RawMessage(id.first), "tools/call", fmt.Sprintf(`{"name":"wait","arguments":{"name":%q}}`, name))))
			}()
			s.runs(t, name)
			ping := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"ping"}`, id.again)
			want := errorResponse(400, id.again, -32600, "a request with this id is in progress")
			if diff := cmp.Diff(want, read(t, here.Post(t, ping))); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", id.again, diff)
			}
			if got := read(t, there.Post(t, ping)); got.Status != 200 {
				t.Errorf("on another instance: %+v", got)
			}
			s.open(name)
			if got := soon(t, first); got.Status != 200 {
				t.Errorf("the first: %+v", got)
			}
			if got := read(t, here.Post(t, ping)); got.Status != 200 {
				t.Errorf("after the first: %+v", got)
			}
		}
		b.undisturbed(t)
	})
}

// A client that leaves before it has an event id leaves its response. The call
// goes on, and then the id is free again.
func TestClientThatLeavesBeforeItsResponse(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		b, c := newBystander(t, s), s.session(t)
		here := at(c, s.instances[0].url)
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := here.Do(ctx, "POST", fleettest.Request(7, "tools/call", `{"name":"wait","arguments":{"name":"left"}}`))
			gone <- err
		}()
		s.runs(t, "left")
		leave()
		if err := soon(t, gone); err == nil {
			t.Fatal("the client got a response")
		}
		time.Sleep(5 * time.Second)
		if n := s.running.Load(); n != 2 {
			t.Errorf("%d calls run, want the bystander's and the one whose client left", n)
		}
		s.open("left")
		time.Sleep(time.Second)
		ping := `{"jsonrpc":"2.0","id":7,"method":"ping"}`
		if got := read(t, here.Post(t, ping)); got.Status != 200 {
			t.Errorf("the same id afterwards: %+v", got)
		}
		b.undisturbed(t)
	})
}
