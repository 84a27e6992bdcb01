package redisx

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// A Script is one Lua script: one transition of state. It is refused if Redis
// executes it after its caller has given it up; see not_after.lua, which stands
// before each.
type Script struct {
	name string
	lua  *rueidis.Lua
}

//go:embed not_after.lua
var notAfterLua string

// NewScript names a script; the name appears in errors only.
func NewScript(name, source string) *Script {
	return &Script{name: name, lua: rueidis.NewLuaScript(notAfterLua + source)}
}

// NewRepeatableScript is [NewScript] for a script that does no harm when it
// runs twice: after a broken connection it is sent again, as reads are, until
// its bound.
func NewRepeatableScript(name, source string) *Script {
	return &Script{name: name, lua: rueidis.NewLuaScriptRetryable(notAfterLua + source)}
}

// Exec runs s. All keys must be of one slot, and be all the keys s touches. After
// an error s will not run any more, but it may have run.
func (s *Script) Exec(ctx context.Context, c Client, keys []string, args ...string) (rueidis.RedisMessage, error) {
	deadline := time.Now().Add(c.Timeout)
	ctx, cancel := c.bound(ctx)
	defer cancel()
	if err := c.setClock(ctx, keys[0]); err != nil {
		return rueidis.RedisMessage{}, Unavailable(s.name, err)
	}
	args = append(args[:len(args):len(args)], "")
	for again := false; ; again = true {
		args[len(args)-1] = strconv.FormatInt(c.Clock.at(deadline), 10)
		sent := time.Now()
		msg, err := c.within(ctx, func() rueidis.RedisResult { return s.lua.Exec(ctx, pinning{c.Client}, keys, args) }).ToMessage()
		if now, late := refusedAt(err); late {
			// It is not: there is somebody to tell. Redis's clock was set, or is
			// another one since a failover.
			c.Clock.Observe(sent, now)
			if !again {
				continue
			}
		}
		if err != nil && !rueidis.IsRedisNil(err) {
			return msg, Unavailable(s.name, err)
		}
		return msg, nil
	}
}

// refusedAt reports whether a script was refused because it is late, and what
// Redis's clock showed then.
func refusedAt(err error) (ms int64, late bool) {
	refusal, ok := rueidis.IsRedisErr(err)
	if !ok {
		return 0, false
	}
	_, err = fmt.Sscanf(refusal.Error(), "LATE %d", &ms)
	return ms, err == nil
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
