package mcp

import (
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/runner"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// call runs a request and answers it.
func (h *Handler) call(w http.ResponseWriter, r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) {
	if h.draining.Load() {
		h.fail(w, r, m.ID, node.ErrClosed)
		return
	}
	e, err := h.runner.Prepare(h.incoming(r, rec, m))
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	conn, err := h.runner.Serve(r.Context(), e)
	if err != nil {
		h.fail(w, r, m.ID, err)
		return
	}
	h.reply(w, r, conn, m.ID, rec.ProtocolVersion)
}

// incoming returns a message with the request that brought it.
func (h *Handler) incoming(r *http.Request, rec sessionstore.Record, m *jsonrpcmsg.Message) runner.Incoming {
	return runner.Incoming{
		Record:  rec,
		Message: m,
		Extra:   &mcp.RequestExtra{TokenInfo: auth.TokenInfoFromContext(r.Context()), Header: r.Header},
		Server:  func() *mcp.Server { return h.getServer(r) },
	}
}
