package limit_test

import (
	"os"
	"testing"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// newLimiter returns the limiter of another instance.
func newLimiter(t testing.TB, c rueidis.Client, prefix string) *limit.Limiter {
	t.Helper()
	space, err := rediskeys.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return limit.New(redisx.New(c, 0), space)
}
