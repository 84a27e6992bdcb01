package sessionstore_test

import (
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// BenchmarkLoad is the price of a session on every request.
func BenchmarkLoad(b *testing.B) {
	s := redistest.Real(b)
	store := newStore(b, s, &sessionstore.Options{Prefix: s.Prefix(b)})
	r, err := store.Create(b.Context(), sessionstore.Record{
		Owner:            "https://issuer.example alice",
		InitializeParams: []byte(`{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"` + strings.Repeat("n", 200) + `"}}`),
		ProtocolVersion:  "2025-11-25",
	})
	if err != nil {
		b.Fatal(err)
	}
	for name, load := range map[string]func() (sessionstore.Record, error){
		"cached": func() (sessionstore.Record, error) { return store.Load(b.Context(), r.ID) },
		"fresh":  func() (sessionstore.Record, error) { return store.LoadFresh(b.Context(), r.ID) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := load(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
