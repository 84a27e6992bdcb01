package mcp

import (
	"context"
	"errors"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/node"
)

// Shutdown takes the instance out of the fleet. In this order:
//
//   - New sessions and calls are refused with 503, and [Handler.Ready] fails,
//     so that the balancer stops sending requests.
//   - Running calls finish, and may still send requests to their clients. Those
//     that have not finished when ctx ends get an error as their response.
//   - Open streams end, so that clients resume them elsewhere. Those of
//     [Handler.SSE], which cannot be resumed, stay open until no instance runs
//     a call of their session, or ctx ends.
//   - The instance's inbox is deleted.
//
// It returns ctx's error if calls had to be cut short.
//
// Call it before http.Server.Shutdown, which waits for open streams. Shutdown
// is idempotent; the Redis client may be closed after it.
func (h *Handler) Shutdown(ctx context.Context) error {
	if h.draining.CompareAndSwap(false, true) {
		h.calls.close()
		if h.cutShort = h.idle(ctx); h.cutShort != nil {
			h.calls.cut(h.refusalOf(ctx, node.ErrClosed))
		}
		h.watchers.end()
		// The rest has its own bounds; an expired ctx must not leave it undone.
		h.node.Close(context.WithoutCancel(ctx))
		h.logger.Info("instance left the fleet")
		close(h.closed)
		return h.cutShort
	}
	select {
	case <-h.closed:
		return h.cutShort
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idle waits until no call runs here, or ctx ends.
func (h *Handler) idle(ctx context.Context) error {
	if err := h.calls.running.wait(ctx); err != nil {
		return err
	}
	if err := h.workers.wait(ctx); err != nil {
		return err
	}
	return h.node.Idle(ctx)
}

// Ready returns nil if the instance can serve, and otherwise an error that says
// why not. It blocks for one call to Redis.
func (h *Handler) Ready(ctx context.Context) error {
	if h.draining.Load() {
		return errors.New("the instance is shutting down")
	}
	return h.node.Ready(ctx)
}

// Livez returns a handler that responds 200 as long as the process runs. It
// never asks Redis: restarting an instance does not bring Redis back.
func (h *Handler) Livez() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, nil) })
}

// Readyz returns a handler that responds 200 if the instance can serve, and 503
// while Redis is unavailable or the instance is shutting down.
func (h *Handler) Readyz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h.Ready(r.Context())
		if err != nil {
			h.logger.WarnContext(r.Context(), "not ready", "error", err)
		}
		writeHealth(w, err)
	})
}

func writeHealth(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("not ready\n"))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}
