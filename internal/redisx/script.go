package redisx

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// A Script is one Lua script: one transition of state.
type Script struct {
	name string
	lua  *rueidis.Lua
}

// NewScript names a script; the name appears in errors only.
func NewScript(name, source string) *Script {
	return &Script{name: name, lua: rueidis.NewLuaScript(source)}
}

// NewRepeatableScript is [NewScript] for a script that does no harm when it
// runs twice: after a broken connection it is sent again, as reads are, until
// its bound.
func NewRepeatableScript(name, source string) *Script {
	return &Script{name: name, lua: rueidis.NewLuaScriptRetryable(source)}
}

// Exec runs s. All keys must be of one slot, and be all the keys s touches.
func (s *Script) Exec(ctx context.Context, c Client, keys []string, args ...string) (rueidis.RedisMessage, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	msg, err := c.within(ctx, func() rueidis.RedisResult { return s.lua.Exec(ctx, pinning{c.Client}, keys, args) }).ToMessage()
	if err != nil && !rueidis.IsRedisNil(err) {
		return msg, Unavailable(s.name, err)
	}
	return msg, nil
}

// A pinning client is what a script sends its commands with: they are built by
// rueidis, so they cannot be pinned before.
type pinning struct{ rueidis.Client }

func (p pinning) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return p.Client.Do(ctx, pin(cmd))
}

// Flag returns the form of b that scripts expect: "1", or nothing.
func Flag(b bool) string {
	if b {
		return "1"
	}
	return ""
}

// Millis returns the form of d that scripts expect: whole milliseconds.
func Millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
