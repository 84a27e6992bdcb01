package demo

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// HandleHealth registers /livez and /readyz for a program without a fleet's
// handler, which has its own.
func (p *Process) HandleHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if p.leaving.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		if err := p.Redis.Do(ctx, p.Redis.B().Ping().Build()).Error(); err != nil {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}
