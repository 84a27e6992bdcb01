package node

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// logLevel is the level of a session's log messages, read from Redis when a
// request first has one to send.
type logLevel struct {
	turn  turn // guards all fields below, also during the call to Redis
	known bool
	level mcp.LoggingLevel
}

// levels are the log levels from least to most severe (RFC 5424).
var levels = []mcp.LoggingLevel{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// ValidLogLevel reports whether level is one of the log levels of the protocol.
func ValidLogLevel(level mcp.LoggingLevel) bool { return slices.Contains(levels, level) }

// wantsLog reports whether the session wants a log message. The session's level
// is asked of Redis, not of the SDK or a cache: the client may have set it a
// moment ago on another instance.
func (c *Conn) wantsLog(ctx context.Context, params json.RawMessage) (bool, error) {
	var message struct {
		Level mcp.LoggingLevel `json:"level"`
	}
	if err := json.Unmarshal(params, &message); err != nil {
		return false, sdkcompat.Rejected(err)
	}
	level, err := c.logLevel(ctx)
	if err != nil {
		return false, sdkcompat.Rejected(c.notSent(err))
	}
	return WantsLog(level, message.Level), nil
}

// WantsLog reports whether a client that has set level, or none if it is empty,
// gets a message of another level.
func WantsLog(level, message mcp.LoggingLevel) bool {
	return level != "" && slices.Index(levels, message) >= slices.Index(levels, level)
}

func (c *Conn) logLevel(ctx context.Context) (mcp.LoggingLevel, error) {
	if c.req.Stateless {
		return c.req.LogLevel, nil
	}
	if c.req.Message.Method == "logging/setLevel" {
		// The level being set filters in the SDK already.
		return levels[0], nil
	}
	c.level.turn.Lock()
	defer c.level.turn.Unlock()
	if c.level.known {
		return c.level.level, nil
	}
	level, err := c.node.store.LogLevel(ctx, c.session)
	if err != nil {
		return "", err // a call may outlast an outage: the next message asks again
	}
	if level == "" {
		level = c.node.opts.DefaultLogLevel
	}
	c.level.known, c.level.level = true, level
	return level, nil
}
