package mcp

import (
	"fmt"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/bus"
	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// Watch notifies the clients of the whole fleet when tools, prompts or
// resources are added to a server, or removed from it, while it runs; the SDK
// by itself notifies only those that are connected to it at that moment.
//
// A server that getServer returns a second time is watched by itself: up to 64 of
// them. So Watch is for a server that changes before it has served two requests of
// this instance, and for more than 64. To watch a server that is watched has no effect.
//
// Watch does not change the servers of other instances, which must be changed as
// well. Each instance announces the changes of its own server: clients hear of
// a change as many times as there are instances that make it. The first tool, prompt
// or resource of a server is announced too, as by the SDK's handler, although the
// server did not declare that it has any when the clients' sessions began.
//
// Watch returns at once and watches until [Handler.Shutdown]; called after
// that, it fails. While Redis is unavailable, announcements wait. Watching does not
// keep a server from being collected, and costs no goroutine. It is one session more
// among Server.Sessions, with an empty id, and that stays until the server is collected.
func (h *Handler) Watch(server *mcp.Server) error {
	if err := h.watch(server); err != nil {
		return fmt.Errorf("fleet: watch server: %w", err)
	}
	return nil
}

// watch has changes of a server's lists announced, unless they are.
func (h *Handler) watch(server *mcp.Server) error {
	switch first, open := h.watchers.add(server); {
	case !open:
		return node.ErrClosed
	case !first:
		return nil
	}
	toolsChanged := h.runner.Watched(server)
	announcer := h.watchers.announcer
	return sdkcompat.Hear(server, func(method string) {
		changed := slices.IndexFunc(bus.Lists, func(l bus.List) bool { return l.Method() == method })
		if changed < 0 {
			return
		}
		if bus.Lists[changed] == bus.Tools {
			toolsChanged()
		}
		announcer.put(bus.Lists[changed])
	})
}

// returned takes note that getServer has returned a server.
func (h *Handler) returned(server *mcp.Server) {
	switch again, room := h.watchers.returned(server); {
	case again && room:
		if err := h.watch(server); err != nil {
			h.logger.Warn("changes of a server's lists are not announced", "error", err)
		}
	case again && h.watchers.full.CompareAndSwap(false, true):
		h.logger.Warn("changes of further servers' lists are not announced: call Handler.Watch for them", "watched", maxWatched)
	}
}
