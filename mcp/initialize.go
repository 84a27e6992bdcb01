package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// initialize runs initialize and creates a session with what it agreed on.
func (h *Handler) initialize(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message) {
	rec, err := h.newSession(r, m)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	e, err := h.prepare(r, rec, m)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	var began atomic.Bool // Shutdown may respond while the session is being stored
	e.request.OnResult = func(ctx context.Context, result json.RawMessage) error {
		err := h.createSession(ctx, rec, result)
		began.Store(err == nil)
		return err
	}
	conn, err := h.serve(r, e)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	select {
	case a := <-conn.Answer():
		if began.Load() {
			w.Header().Set(sessionHeader, rec.ID)
		}
		h.writeResponse(w, r, m.ID, a)
	case <-r.Context().Done():
		conn.Leave(r.Context()) // the session, if there will be one, is nobody's and expires
		h.fail(w, r, m.ID, errGivenUp)
	}
}

func (h *Handler) newSession(r *http.Request, m *jsonrpcmsg.Message) (sessionstore.Record, error) {
	if err := checkVersion(r); err != nil {
		return sessionstore.Record{}, err
	}
	switch {
	case !m.IsCall():
		return sessionstore.Record{}, refuseCode(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "initialize needs an id")
	case r.Header.Get(sessionHeader) != "":
		return sessionstore.Record{}, refuseCode(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "the session has been initialized")
	case h.draining.Load():
		return sessionstore.Record{}, node.ErrClosed
	}
	owner, err := h.principal(r)
	return sessionstore.Record{ID: sessionstore.NewID(), Owner: owner, InitializeParams: m.Params, Position: h.node.Position()}, err
}

// createSession stores the session that an initialize result describes.
func (h *Handler) createSession(ctx context.Context, rec sessionstore.Record, result json.RawMessage) error {
	agreed, err := agreement(rec.InitializeParams, result)
	if err != nil {
		return err
	}
	rec.ProtocolVersion, rec.ServerCapabilities = agreed.ProtocolVersion, agreed.ServerCapabilities
	if _, err := h.store.Create(ctx, rec); err != nil {
		return err
	}
	h.logger.InfoContext(ctx, "session began", "session", short(rec.ID), "protocol", rec.ProtocolVersion)
	return nil
}

// agreement returns what an initialize result settles for its session, but for
// the session's position.
func agreement(params, result json.RawMessage) (sessionstore.Agreement, error) {
	var agreed struct {
		ProtocolVersion string          `json:"protocolVersion"`
		Capabilities    json.RawMessage `json:"capabilities"`
	}
	if err := json.Unmarshal(result, &agreed); err != nil {
		return sessionstore.Agreement{}, fmt.Errorf("decode initialize result: %w", err)
	}
	// Not through the cache: parameters that are too large must not get there.
	if _, err := sdkcompat.DecodeInitialize(params); err != nil {
		return sessionstore.Agreement{}, err
	}
	return sessionstore.Agreement{
		InitializeParams: params, ProtocolVersion: agreed.ProtocolVersion, ServerCapabilities: agreed.Capabilities,
	}, nil
}
