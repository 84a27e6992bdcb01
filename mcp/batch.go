package mcp

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/sse"
)

const (
	maxBatch     = 100 // messages in a batch
	batchWorkers = 8   // calls of a batch that run at once
)

// serveBatch serves a POST whose body is a JSON array (specification
// 2025-03-26, "Transports", "Sending Messages to the Server"). All of a batch is
// checked before any of it is served.
func (h *Handler) serveBatch(w http.ResponseWriter, r *http.Request, body *postBody) {
	rec, messages, err := h.checkBatch(w, r, body.data)
	switch {
	case errors.Is(err, node.ErrClosed): // the client sends it again
	case err != nil:
		h.refuse(w, r, nil, body, err)
		return
	default:
		err = h.takeOthers(r, rec, messages)
	}
	calls := slices.DeleteFunc(messages, func(m *jsonrpcmsg.Message) bool { return !m.IsCall() })
	if err != nil || len(calls) == 0 {
		h.accepted(w, r, err)
		return
	}
	h.respondToBatch(w, r, h.startBatch(r, rec, calls))
}

// checkBatch returns the messages of a batch and their session, if all of the
// batch can be served.
func (h *Handler) checkBatch(w http.ResponseWriter, r *http.Request, body []byte) (sessionstore.Record, []*jsonrpcmsg.Message, error) {
	if r.Header.Get(versionHeader) >= runner.VersionStateless || r.Header.Get(sessionHeader) == "" {
		return sessionstore.Record{}, nil, jsonrpcmsg.ErrBatch // initialize, without a session, is never in one
	}
	rec, err := h.session(r)
	if err != nil {
		return rec, nil, err
	}
	if rec.ProtocolVersion != versionBatches {
		return rec, nil, jsonrpcmsg.ErrBatch
	}
	h.node.UseRecord(rec)
	messages, err := jsonrpcmsg.DecodeBatch(body, maxBatch)
	if err != nil {
		return rec, nil, err
	}
	for _, m := range messages {
		switch {
		case m.Method == "initialize" || isStateless(r, m):
			return rec, nil, httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "%s must not be part of a batch", m.Method)
		case m.IsCall() && !sse.CanFlush(w):
			return rec, nil, sse.ErrNoFlush
		case m.IsCall() && h.draining.Load():
			return rec, nil, node.ErrClosed
		}
	}
	return rec, messages, nil
}

// takeOthers acts on the notifications and responses of a batch, in their order.
func (h *Handler) takeOthers(r *http.Request, rec sessionstore.Record, messages []*jsonrpcmsg.Message) error {
	for _, m := range messages {
		var err error
		switch {
		case m.IsNotification():
			err = h.runner.Notification(r.Context(), h.incoming(r, rec, m))
		case m.IsResponse():
			err = h.node.ForwardResponse(r.Context(), rec.ID, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A batch is the running calls of one POST.
type batch struct {
	size      int
	responses chan batchResponse // has room for all, so that no call waits for the client
	leave     func()             // called when the client has gone, or has its responses
}

type batchResponse struct {
	index int
	body  []byte
}

// startBatch runs calls, some at a time. They go on when the client has gone, as
// calls outside of batches do; Shutdown waits for them, or ends them.
func (h *Handler) startBatch(r *http.Request, rec sessionstore.Record, calls []*jsonrpcmsg.Message) *batch {
	ctx, leave := context.WithCancel(r.Context())
	b := &batch{size: len(calls), responses: make(chan batchResponse, len(calls)), leave: leave}
	next := make(chan int, len(calls))
	for i := range calls {
		next <- i
	}
	close(next)
	for range min(batchWorkers, len(calls)) {
		h.workers.add()
		go func() {
			defer h.workers.remove()
			for i := range next {
				b.responses <- batchResponse{i, h.batchCall(ctx, r, rec, calls[i])}
			}
		}()
	}
	return b
}

// batchCall runs a call and returns its response. ctx ends when the client has
// gone. Whatever else the handler sends goes to the session's standalone stream.
func (h *Handler) batchCall(ctx context.Context, r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) []byte {
	e, err := h.runner.Prepare(h.incoming(r, rec, m))
	if err != nil {
		return h.refusedCall(ctx, m, err)
	}
	e.Request.ResponseMode = node.ResponseShared
	conn, err := h.runner.Serve(r.Context(), e)
	if err != nil {
		return h.refusedCall(ctx, m, err)
	}
	select {
	case <-conn.Done():
	case <-ctx.Done():
		conn.Leave(ctx)
		<-conn.Done()
	}
	select {
	case res := <-conn.Response():
		if res.Err != nil {
			return h.refusedCall(ctx, m, res.Err)
		}
		return res.Body
	default:
		return h.refusedCall(ctx, m, node.ErrClosed) // nothing but the end of the instance leaves a call without a response
	}
}

// refusedCall is the response to a call of a batch that failed with err.
func (h *Handler) refusedCall(ctx context.Context, m *jsonrpcmsg.Message, err error) []byte {
	return jsonrpcmsg.EncodeError(m.ID, &h.refusalOf(ctx, err).Wire)
}

// respondToBatch sends the responses of a batch: as one JSON array, in the order
// of the calls, or, if that takes longer than StreamAfter, one by one as they
// come, on a stream. That stream has no event ids: what it sends is in no log.
func (h *Handler) respondToBatch(w http.ResponseWriter, r *http.Request, b *batch) {
	defer b.leave()
	patience := time.NewTimer(h.opts.StreamAfter)
	defer patience.Stop()
	bodies := make([][]byte, b.size)
	for n := range b.size {
		select {
		case res := <-b.responses:
			bodies[res.index] = res.body
		case <-patience.C:
			_ = h.streamBatch(w, r, b, bodies, b.size-n) // a client that has gone needs no responses
			return
		case <-r.Context().Done():
			h.fail(w, r, nil, httperror.ErrGivenUp)
			return
		}
	}
	h.writeJSON(w, append(append([]byte("["), bytes.Join(bodies, []byte(","))...), ']'))
}

// streamBatch sends the responses that are there and the missing ones as they
// come.
func (h *Handler) streamBatch(w http.ResponseWriter, r *http.Request, b *batch, bodies [][]byte, missing int) error {
	ctx, cancel := untilExpiry(r.Context())
	defer cancel()
	events := sse.NewWriter(w, h.opts.pace())
	if err := events.Start(); err != nil {
		return err
	}
	for _, body := range bodies {
		if body == nil {
			continue
		}
		if err := events.Write(sse.Event{Data: body}); err != nil {
			return err
		}
	}
	quiet := events.Quiet(h.opts.KeepAlive)
	for missing > 0 {
		var err error
		select {
		case res := <-b.responses:
			err = events.Write(sse.Event{Data: res.body})
			missing--
		case <-quiet:
			err = events.KeepAlive()
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
