package session_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/redistest"
	"github.com/mcpfleet/mcpfleet/session"
)

func newStore(t testing.TB, s *redistest.Server, opts *session.Options) *session.Store {
	t.Helper()
	st, err := session.NewStore(s.Client(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestCreateLoadDelete(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		st := newStore(t, s, &session.Options{Prefix: s.Prefix(t)})
		r, err := st.Create(t.Context(), session.Record{Owner: "o", InitializeParams: []byte(`{"a": 1}`), ProtocolVersion: "v"})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := st.Load(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(r, got); d != "" {
				t.Error(d)
			}
		}
		v := session.NewValues[int](st, "n")
		if got, err := v.Update(t.Context(), r.ID, func(n int) (int, error) { return n + 1, nil }); got != 1 || err != nil {
			t.Error(got, err)
		}
		t.Log(st.Touch(t.Context(), r.ID, "1"))
		t.Log(st.SetInitialized(t.Context(), r.ID))
		if err := st.Delete(t.Context(), r.ID); err != nil {
			t.Error(err)
		}
		if _, err := st.Load(t.Context(), r.ID); err != session.ErrNotFound {
			t.Error(err)
		}
	})
}
