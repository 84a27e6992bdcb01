package mcp

import (
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// initialize runs initialize and creates a session with what it agreed on.
func (h *Handler) initialize(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message) {
	rec, err := h.newSession(r, m)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	conn, began, err := h.runner.Initialize(r.Context(), h.incoming(r, rec, m))
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	select {
	case res := <-conn.Response():
		if began() {
			w.Header().Set(sessionHeader, rec.ID)
		}
		h.writeResponse(w, r, m.ID, res)
	case <-r.Context().Done():
		conn.Leave(r.Context()) // the session, if there will be one, is nobody's and expires
		h.fail(w, r, m.ID, httperror.ErrGivenUp)
	}
}

// initialized acts on a client's notifications/initialized.
func (h *Handler) initialized(r *http.Request, m *jsonrpcmsg.Message) error {
	notification := h.runner.Initialized()
	rec, err := h.sessionBy(r, notification.Load)
	if err != nil {
		return err
	}
	h.node.UseRecord(rec)
	return notification.Notify(r.Context(), h.incoming(r, rec, m))
}

func (h *Handler) newSession(r *http.Request, m *jsonrpcmsg.Message) (sessionstore.Record, error) {
	if err := checkVersion(r); err != nil {
		return sessionstore.Record{}, err
	}
	if r.Header.Get(sessionHeader) != "" {
		// A client whose session has ended begins a new one when it gets 404, and
		// some do at nothing else.
		if _, err := h.ownFresh(r); err != nil {
			return sessionstore.Record{}, err
		}
		return sessionstore.Record{}, sessionstore.ErrNegotiated
	}
	switch {
	case !m.IsCall():
		return sessionstore.Record{}, httperror.New(http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "initialize needs an id")
	case h.draining.Load():
		return sessionstore.Record{}, node.ErrClosed
	}
	owner, err := userOf(r)
	return h.runner.NewRecord(owner, m.Params), err
}
