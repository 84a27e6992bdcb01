package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/node"
)

// A Stream is an open stream of notifications that belong to no call: the
// standalone stream of a session, or a subscriptions/listen stream of protocol
// 2026-07-28. [Options.OnStream] gets it. It is safe for concurrent use. After
// the stream has left this instance, the methods still work for a session; what
// is sent to a listen stream is dropped.
type Stream struct {
	handler  *Handler
	session  string
	listener *node.Listener
}

// Session returns the id of the stream's session, or "" for a listen stream.
func (s *Stream) Session() string { return s.session }

// Notify sends a notification to the stream's client. A listen stream only gets
// resource updates that its client asked for; anything else is dropped, because
// the protocol forbids it there.
func (s *Stream) Notify(ctx context.Context, method string, params any) error {
	if s.listener == nil {
		return s.handler.Notify(ctx, s.session, method, params)
	}
	if method != "notifications/resources/updated" {
		return nil
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("notify %s: %w", method, err)
	}
	var update struct {
		URI string `json:"uri"`
	}
	if err := json.Unmarshal(raw, &update); err != nil {
		return fmt.Errorf("notify %s: %w", method, err)
	}
	s.listener.Update(update.URI)
	return nil
}

// Log sends a log message, unless it is below the level that the session's
// client has set. A listen stream gets none: from 2026-07-28 on, log messages
// belong to calls.
func (s *Stream) Log(ctx context.Context, params *mcp.LoggingMessageParams) error {
	if s.listener != nil {
		return nil
	}
	level, err := s.handler.store.LogLevel(ctx, s.session)
	if err != nil {
		return err
	}
	if level == "" {
		level = s.handler.opts.DefaultLogLevel
	}
	if !node.WantsLog(level, params.Level) {
		return nil
	}
	return s.handler.Notify(ctx, s.session, "notifications/message", params)
}

// Subscriptions returns the URIs of the resources that the client is subscribed
// to now, sorted.
func (s *Stream) Subscriptions(ctx context.Context) ([]string, error) {
	if s.listener != nil {
		return s.listener.URIs(), nil
	}
	subs, err := s.handler.store.Subscriptions(ctx, s.session)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(subs)), nil
}

// whileOpen runs OnStream for a stream that is open here, and returns what ends
// its context and waits for it.
func (h *Handler) whileOpen(ctx context.Context, s *Stream) (leave func()) {
	if h.opts.OnStream == nil {
		return func() {}
	}
	s.handler = h
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer h.runner.Faults().Recover(ctx, "OnStream panicked", func() {})
		h.opts.OnStream(ctx, s)
	}()
	return func() {
		cancel()
		<-done
	}
}
