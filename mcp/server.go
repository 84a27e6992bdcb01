package mcp

import (
	"context"
	"net/http"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A choice is the server of a request, once getServer has been asked.
type choice struct {
	once   sync.Once
	server *mcp.Server
}

// chosen is the context key of a request's choice.
type chosen struct{}

// choosing returns a request for which getServer is called once at the most, however
// often [Handler.server] is.
func choosing(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), chosen{}, &choice{}))
}

// server returns the server of a request that [choosing] returned, or of a copy of
// it. It is nil if there is none.
func (h *Handler) server(r *http.Request) *mcp.Server {
	c, ok := r.Context().Value(chosen{}).(*choice)
	if !ok {
		return nil
	}
	c.once.Do(func() { c.server = h.getServer(r) })
	return c.server
}
