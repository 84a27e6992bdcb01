package redistest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"
)

// Late fails the test unless what do sends over the link has no effect when Redis
// executes it after do has given up, and has one when Redis executes it at once. It
// calls prepare for each of the two; prepare returns do. All is in a bubble.
func (b *Bubble) Late(t *testing.T, link *Link, prepare func(t *testing.T) (do func() error)) {
	t.Helper()
	look := b.Client(t)
	do := prepare(t)
	before := b.state(t, look)
	time.Sleep(time.Second) // so that a new time to live is another one
	if err := do(); err != nil {
		t.Fatal(err)
	}
	if b.state(t, look) == before {
		t.Fatal("it changes nothing when it comes in time")
	}

	do = prepare(t)
	time.Sleep(time.Second)
	link.Freeze()
	if err := do(); err == nil {
		t.Fatal("it succeeded although Redis did not get it")
	}
	link.Overtake()
	before = b.state(t, look)
	link.Deliver()
	time.Sleep(time.Millisecond)
	if after := b.state(t, look); after != before {
		t.Error("it was executed late: -before +after:\n" + cmp.Diff(before, after))
	}
}

// state describes all keys, and when they expire.
func (b *Bubble) state(t *testing.T, client rueidis.Client) string {
	t.Helper()
	var s strings.Builder
	s.WriteString(b.Dump())
	for _, key := range b.Keys() {
		ms, err := client.Do(t.Context(), client.B().Pttl().Key(key).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&s, "%s expires at %v\n", key, time.Now().Add(time.Duration(ms)*time.Millisecond).Round(10*time.Millisecond))
	}
	return s.String()
}
