package everything

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A Switch stores whether a tool or a resource is there. It is read for every list
// of tools, or of resources, and every use of the one, so servers that share a
// Switch, in whatever process, agree. It must be safe for concurrent use, and its
// methods should return when their context ends.
type Switch interface {
	// On reports whether it is there. It must see every Set that has returned, in
	// any process: clients list again as soon as they are notified of a change, and
	// a stale state would give them the old list.
	On(ctx context.Context) (bool, error)
	// Set switches it on or off. It is not an error if it is already in that state.
	Set(ctx context.Context, on bool) error
}

// memorySwitch is the [Switch] of a server that has none to share. It is off at first.
type memorySwitch struct {
	on atomic.Bool
}

func (s *memorySwitch) On(context.Context) (bool, error) { return s.on.Load(), nil }

func (s *memorySwitch) Set(_ context.Context, on bool) error {
	s.on.Store(on)
	return nil
}

// switched is a tool or a resource that is only there while its switch is on. The
// server always has it; [switched.hideTool] or [switched.hideResource] keeps it
// from clients.
type switched struct {
	name string // of the tool, or the URI of the resource
	Switch
	logger *slog.Logger
}

// hideTool is a middleware that, while the tool is off, leaves it out of lists and
// treats calls of it like calls of an unknown tool. If the switch cannot be read,
// both fail: a guess might contradict another server that shares it.
func (s switched) hideTool(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		call, calls := req.(*mcp.CallToolRequest)
		_, lists := req.(*mcp.ListToolsRequest)
		if !lists && !(calls && call.Params.Name == s.name) {
			return next(ctx, method, req)
		}
		on, err := s.isOn(ctx)
		if err != nil {
			return nil, err
		}
		if calls && !on {
			return nil, invalidParams("unknown tool %q", s.name) // in the SDK's words
		}
		res, err := next(ctx, method, req)
		if list, ok := res.(*mcp.ListToolsResult); ok && err == nil && !on {
			list.Tools = slices.DeleteFunc(list.Tools, func(t *mcp.Tool) bool { return t.Name == s.name })
		}
		return res, err
	}
}

// hideResource is the same for a resource.
func (s switched) hideResource(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		read, reads := req.(*mcp.ReadResourceRequest)
		_, lists := req.(*mcp.ListResourcesRequest)
		if !lists && !(reads && read.Params.URI == s.name) {
			return next(ctx, method, req)
		}
		on, err := s.isOn(ctx)
		if err != nil {
			return nil, err
		}
		if reads && !on {
			return nil, resourceNotFound(read, s.name)
		}
		res, err := next(ctx, method, req)
		if list, ok := res.(*mcp.ListResourcesResult); ok && err == nil && !on {
			list.Resources = slices.DeleteFunc(list.Resources, func(r *mcp.Resource) bool { return r.URI == s.name })
		}
		return res, err
	}
}

func (s switched) isOn(ctx context.Context) (bool, error) {
	on, err := s.On(ctx)
	if err != nil {
		s.logger.ErrorContext(ctx, "cannot tell whether something is on", "name", s.name, "error", err)
		return false, &jsonrpc.Error{
			Code:    jsonrpc.CodeInternalError,
			Message: "cannot tell whether " + s.name + " is on, try again later",
		}
	}
	return on, nil
}
