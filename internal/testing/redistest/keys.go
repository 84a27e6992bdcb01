package redistest

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// A Key is a key found in Redis and the time it has left, which is negative if
// it has no end.
type Key struct {
	Name string
	TTL  time.Duration
}

// Keys returns every key under a prefix, on whatever node it is, sorted.
func Keys(t testing.TB, client rueidis.Client, prefix string) []Key {
	t.Helper()
	var found []Key
	for _, node := range client.Nodes() {
		found = append(found, nodeKeys(t, node, prefix)...)
	}
	slices.SortFunc(found, func(a, b Key) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(found, func(a, b Key) bool { return a.Name == b.Name })
}

// AssertTTLs fails the test if a key under prefix would live for ever, and
// returns the keys.
func AssertTTLs(t testing.TB, client rueidis.Client, prefix string) []Key {
	t.Helper()
	found := Keys(t, client, prefix)
	for _, k := range found {
		if k.TTL < 0 {
			t.Errorf("key %s has no TTL", k.Name)
		}
	}
	return found
}

func nodeKeys(t testing.TB, node rueidis.Client, prefix string) (found []Key) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for cursor := uint64(0); ; {
		page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(prefix+":*").Count(1000).Build()).AsScanEntry()
		if err != nil {
			t.Fatalf("scan %s: %v", prefix, err)
		}
		for _, name := range page.Elements {
			ms, err := node.Do(ctx, node.B().Pttl().Key(name).Build()).AsInt64()
			if err != nil {
				t.Fatalf("pttl %s: %v", name, err)
			}
			if ms != -2 { // -2: gone since the scan
				found = append(found, Key{name, time.Duration(ms) * time.Millisecond})
			}
		}
		if cursor = page.Cursor; cursor == 0 {
			return found
		}
	}
}
