package demo

import (
	"io"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/authtest"
)

func TestNobodyHoldsAConnectionByABodyThatHeDoesNotSend(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"a handler that reads it":   func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) },
		"one that does not read it": func(http.ResponseWriter, *http.Request) {},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &Process{Log: slog.New(slog.DiscardHandler)}
			if _, held := authtest.Stall(t, p.httpServer(h), "/"); held > 30*time.Second {
				t.Errorf("%s: held for %v", name, held)
			}
		})
	}
}
