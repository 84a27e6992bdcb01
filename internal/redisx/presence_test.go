package redisx

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/rueidis"
)

// Only a reply shows that Redis is there: a connection that breaks does not, whoever
// waited for it.
func TestOnlyAReplyShowsThatRedisIsThere(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		outcome error
		silent  bool
	}{
		"a reply":             {nil, false},
		"nothing":             {rueidis.Nil, false},
		"no reply in time":    {context.DeadlineExceeded, true},
		"a broken connection": {errors.New("i/o timeout"), true},
	} {
		var p presence
		p.begin()
		p.end(context.DeadlineExceeded)
		p.begin()
		p.end(test.outcome)
		if p.doubtful() != test.silent {
			t.Errorf("after %s: doubtful is %v", name, p.doubtful())
		}
	}
}
