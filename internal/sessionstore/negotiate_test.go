package sessionstore_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestASessionIsNegotiatedOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		opts := &sessionstore.Options{Prefix: s.Prefix(t), MaxInitialize: 20}
		mine, other := newStore(t, s, opts), newStore(t, s, opts)
		id := create(t, mine, sessionstore.Record{Owner: "o", HTTPSSE: true, Position: "1-0"})
		agreed := sessionstore.Agreement{
			InitializeParams: []byte(`{"a":"b"}`), ProtocolVersion: "2024-11-05",
			ServerCapabilities: []byte(`{"tools":{}}`), Position: "2-0",
		}

		wantErr(t, "params that are too large", other.Negotiate(t.Context(), id, sessionstore.Agreement{
			InitializeParams: []byte(`{"a":"b b b b b b b b b"}`), ProtocolVersion: "2024-11-05",
		}), sessionstore.ErrTooLarge)
		if err := other.Negotiate(t.Context(), id, sessionstore.Agreement{}); err == nil {
			t.Error("an agreement on no version was stored")
		}
		if err := other.Negotiate(t.Context(), id, agreed); err != nil {
			t.Fatal(err)
		}
		later := sessionstore.Agreement{ProtocolVersion: "2025-11-25"}
		wantErr(t, "negotiate again", mine.Negotiate(t.Context(), id, later), sessionstore.ErrNegotiated)
		versioned := create(t, mine, sessionstore.Record{ProtocolVersion: "2025-11-25"})
		wantErr(t, "negotiate a session that began with a version", mine.Negotiate(t.Context(), versioned, agreed), sessionstore.ErrNegotiated)

		got, err := mine.LoadFresh(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		want := sessionstore.Record{
			ID: id, Owner: "o", HTTPSSE: true, InitializeParams: agreed.InitializeParams, ProtocolVersion: "2024-11-05",
			ServerCapabilities: agreed.ServerCapabilities, Position: "2-0", Created: got.Created,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("record after Negotiate (-want +got):\n%s", diff)
		}
	})
}
