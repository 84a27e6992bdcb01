package mcp

import "net/http"

func (h *Handler) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.guard(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}
