package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	// grace is how long running calls have to finish after a signal, with the
	// delay before: less than the 30 s that orchestrators wait before they kill.
	grace = 25 * time.Second
	// maxDrainDelay leaves running calls a part of it.
	maxDrainDelay = 20 * time.Second
	// settle is how long requests are served that arrive on open connections
	// after the listener has closed.
	settle = time.Second
)

// Serve serves h until SIGINT or SIGTERM, then calls drain, which has [grace] to
// let running calls finish, and ends. The listener closes after DRAIN_DELAY, and
// drain must not refuse anything before [settle] has passed, too: handlers made
// with [Process.Options] do not. A second signal ends the process at once.
func (p *Process) Serve(h http.Handler, drain func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := p.httpServer(h)
	served := make(chan error, 1)
	go func() { served <- server.Serve(p.listener) }()
	p.using()
	p.Log.Info("listening", "addr", p.listener.Addr().String(), "url", p.BaseURL)

	select {
	case err := <-served: // never, unless it fails
		return err
	case <-ctx.Done():
	}
	stop() // From here on a signal does what it does by default.
	return p.shutdown(server, drain)
}

func (p *Process) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: logRequests(p.Log, h),
		// No WriteTimeout: streams stay open for hours. ReadTimeout does not affect
		// them: it ends with the request's body.
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		// Such that what is around the handler is around OPTIONS * as well.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(p.Log.Handler(), slog.LevelWarn),
	}
}

func (p *Process) shutdown(server *http.Server, drain func(context.Context) error) error {
	p.leaving.Store(true)
	p.Log.Info("stopping", "delay", p.Config.DrainDelay.String(), "grace", grace.String())
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- drain(ctx) }()
	time.Sleep(p.Config.DrainDelay)
	// While the handler still serves: a balancer that does not check readiness
	// goes to another instance when a connection is refused, but not after a 503.
	// Not by server.Shutdown, which drops requests that have not been read yet.
	closeListener(p.listener)
	// The server last: it waits for streams, which only the handler can end.
	err := errors.Join(<-drained, server.Shutdown(ctx))
	if err != nil {
		server.Close()
		return fmt.Errorf("stopped before everything had ended: %w", err)
	}
	p.Log.Info("stopped")
	return nil
}
