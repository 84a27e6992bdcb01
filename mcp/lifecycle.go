package mcp

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Shutdown takes the instance out of the fleet. In this order:
//
//   - [Handler.Ready] fails, so that the balancer stops sending requests. For
//     [Options.DrainDelay] everything is served on; responses ask to close the
//     connection, so that the balancer does not use it again.
//   - New sessions and calls are refused with 503.
//   - Running calls finish, and may still send requests to their clients. Those
//     that have not finished when ctx ends get an error as their response.
//   - Open streams end, so that clients resume them elsewhere. Those of
//     [Handler.SSE], which cannot be resumed, stay open until no instance runs
//     a call of their session, or ctx ends.
//   - The instance's inbox is deleted.
//
// It returns ctx's error if calls had to be cut short; ctx bounds the delay as
// well. Shutdown is idempotent; the Redis client may be closed after it.
//
// Call http.Server.Shutdown after it: it waits for open streams, and drops
// requests that it has not read yet. Who closes the listener, and when, depends
// on the balancer:
//
//   - One that checks readiness, as those of Kubernetes and of clouds do, sends
//     nothing any more when the 503s begin, if DrainDelay is longer than it
//     needs to notice. Then http.Server.Shutdown may close the listener.
//   - One that does not, such as nginx, passes a 503 on to its client, but goes
//     to the next instance if a connection is refused. So the listener has to be
//     closed before the first 503: while Shutdown serves on, a second before
//     DrainDelay is over. In that second, what arrives on connections that were
//     open is served. This suits both kinds, and is what the example does.
//     Under load the system resets a few connections that the program has not
//     accepted when the listener closes; how to avoid that on Linux shows
//     closeListener in examples/internal/demo.
func (h *Handler) Shutdown(ctx context.Context) error {
	if h.leaving.CompareAndSwap(false, true) {
		h.serveOn(ctx)
		h.draining.Store(true)
		h.cutShort = h.idle(ctx)
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

// serveOn waits until DrainDelay is over, or ctx ends.
func (h *Handler) serveOn(ctx context.Context) {
	if h.opts.DrainDelay == 0 {
		return
	}
	delay := time.NewTimer(h.opts.DrainDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
	}
}

// idle waits until no call runs here, or ctx ends.
func (h *Handler) idle(ctx context.Context) error {
	if err := h.workers.wait(ctx); err != nil {
		return err
	}
	return h.node.Idle(ctx)
}

// Ready returns nil if the instance can serve, and otherwise an error that says
// why not. It blocks for one call to Redis.
func (h *Handler) Ready(ctx context.Context) error {
	if h.leaving.Load() {
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
