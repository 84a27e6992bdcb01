package redistest

import (
	"testing"
	"time"
)

// Until waits in real time until done reports true, and fails the test after a
// generous while. It is for what only a real Redis does, such as the
// invalidation of caches; elsewhere use a bubble.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}
