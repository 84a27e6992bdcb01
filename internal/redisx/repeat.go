package redisx

import "github.com/redis/rueidis"

// NewRepeatableScript is [NewScript] for a script that does no harm when it
// runs twice: after a broken connection it is sent again, as reads are, until
// its bound.
func NewRepeatableScript(name, source string) *Script {
	return &Script{name: name, lua: rueidis.NewLuaScriptRetryable(source)}
}
