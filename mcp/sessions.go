package mcp

import "github.com/mcpfleet/mcpfleet/session"

// Sessions returns the handler's sessions. Tools keep data of their own with
// them:
//
//	carts := session.NewValues[Cart](handler.Sessions(), "cart")
//
// The handler is made with a server, so a tool that uses carts is added to that
// server afterwards, before the handler serves requests.
func (h *Handler) Sessions() *session.Store { return (*session.Store)(h.store) }
