package everything

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A Switch stores whether the tool secretHandshake is on. It is read for every
// list of tools and every call of that tool, so servers that share a Switch, in
// whatever process, agree. It must be safe for concurrent use, and its methods
// should return when their context ends.
type Switch interface {
	// On reports whether the tool is on. It must see every Set that has
	// returned, in any process: clients list the tools again as soon as they are
	// notified of a change, and a stale state would give them the old list.
	On(ctx context.Context) (bool, error)
	// Set switches the tool on or off. It is not an error if the tool is already
	// in that state.
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

// switched is a tool that is only there while its switch is on. The server
// always has it; [switched.hide] keeps it from clients.
type switched struct {
	name string
	Switch
	logger *slog.Logger
}

// hide is a middleware that, while the tool is off, leaves it out of lists and
// treats calls of it like calls of an unknown tool. If the switch cannot be read,
// both fail: a guess might contradict another server that shares it.
func (s switched) hide(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		switch req := req.(type) {
		case *mcp.ListToolsRequest:
			return s.list(ctx, method, req, next)
		case *mcp.CallToolRequest:
			return s.call(ctx, method, req, next)
		default:
			return next(ctx, method, req)
		}
	}
}

func (s switched) list(ctx context.Context, method string, req *mcp.ListToolsRequest, next mcp.MethodHandler) (mcp.Result, error) {
	on, err := s.isOn(ctx)
	if err != nil {
		return nil, err
	}
	res, err := next(ctx, method, req)
	if list, ok := res.(*mcp.ListToolsResult); ok && err == nil && !on {
		list.Tools = slices.DeleteFunc(list.Tools, func(t *mcp.Tool) bool { return t.Name == s.name })
	}
	return res, err
}

func (s switched) call(ctx context.Context, method string, req *mcp.CallToolRequest, next mcp.MethodHandler) (mcp.Result, error) {
	if req.Params.Name != s.name {
		return next(ctx, method, req)
	}
	on, err := s.isOn(ctx)
	if err != nil {
		return nil, err
	}
	if !on {
		return nil, invalidParams("unknown tool %q", s.name) // in the SDK's words
	}
	return next(ctx, method, req)
}

func (s switched) isOn(ctx context.Context) (bool, error) {
	on, err := s.On(ctx)
	if err != nil {
		s.logger.ErrorContext(ctx, "cannot tell whether a tool is on", "tool", s.name, "error", err)
		return false, &jsonrpc.Error{
			Code:    jsonrpc.CodeInternalError,
			Message: "cannot tell whether " + s.name + " is on, try again later",
		}
	}
	return on, nil
}
