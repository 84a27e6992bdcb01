package roundstore_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/mcpfleet/mcpfleet/internal/roundstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Each script is sent, and executed only after its caller has given it up.
func TestALateRoundScriptChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, prepare := range map[string]func(t *testing.T, s *roundstore.Store) func() error{
		"round_open": func(_ *testing.T, s *roundstore.Store) func() error {
			return func() error {
				_, err := s.Open(ctx, roundstore.Run{Call: roundstore.NewCall(), Number: 1}, true, roundstore.Record{Claim: "c"})
				return err
			}
		},
		"round_answer": func(t *testing.T, s *roundstore.Store) func() error {
			w := newWaiting(t, s, true)
			return func() error {
				_, err := s.Answer(ctx, w.run, map[string]json.RawMessage{"x": json.RawMessage(`1`)})
				return err
			}
		},
		"round_adopt": func(t *testing.T, s *roundstore.Store) func() error {
			w := newWaiting(t, s, true)
			return func() error {
				_, _, err := s.Adopt(ctx, "try", w.state, w.record, "heir", nil)
				return err
			}
		},
		"round_end": func(t *testing.T, s *roundstore.Store) func() error {
			w := newWaiting(t, s, true)
			return func() error { return s.End(ctx, w.run) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := redistest.NewBubble(t)
				link := b.Link()
				s := storeOf(t, link.Client(t), redistest.NewPrefix())
				b.Late(t, link, func(t *testing.T) func() error { return prepare(t, s) })
			})
		})
	}
}
