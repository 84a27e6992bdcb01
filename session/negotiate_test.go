package session_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	"github.com/mcpfleet/mcpfleet/session"
)

func TestASessionIsNegotiatedOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &session.Options{Prefix: s.Prefix(t), MaxParams: 20}
		mine, other := newStore(t, s, opts), newStore(t, s, opts)
		id := create(t, mine, session.Record{Owner: "o", Legacy: true, Position: "1-0"})
		agreed := session.Agreement{
			InitializeParams: []byte(`{"a":"b"}`), ProtocolVersion: "2024-11-05",
			ServerCapabilities: []byte(`{"tools":{}}`), Position: "2-0",
		}

		wantErr(t, "params that are too large", other.Negotiate(t.Context(), id, session.Agreement{
			InitializeParams: []byte(`{"a":"b b b b b b b b b"}`), ProtocolVersion: "2024-11-05",
		}), session.ErrTooLarge)
		if err := other.Negotiate(t.Context(), id, session.Agreement{}); err == nil {
			t.Error("an agreement on no version was stored")
		}
		if err := other.Negotiate(t.Context(), id, agreed); err != nil {
			t.Fatal(err)
		}
		later := session.Agreement{ProtocolVersion: "2025-11-25"}
		wantErr(t, "negotiate again", mine.Negotiate(t.Context(), id, later), session.ErrNegotiated)
		modern := create(t, mine, session.Record{ProtocolVersion: "2025-11-25"})
		wantErr(t, "negotiate a session that began with a version", mine.Negotiate(t.Context(), modern, agreed), session.ErrNegotiated)

		got, err := mine.LoadFresh(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		want := session.Record{
			ID: id, Owner: "o", Legacy: true, InitializeParams: agreed.InitializeParams, ProtocolVersion: "2024-11-05",
			ServerCapabilities: agreed.ServerCapabilities, Position: "2-0", Created: got.Created,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("record after Negotiate (-want +got):\n%s", diff)
		}
	})
}
