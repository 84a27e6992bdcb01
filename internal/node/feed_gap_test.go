package node

import "testing"

// Changes that nobody here wants, and time, leave gaps between positions. A look
// between the mark and the change must not take the gap for a bus that has lost
// its end.
func TestALookBehindAMarkFindsNoLossInAGap(t *testing.T) {
	t.Parallel()
	n := &tail{}
	n.add(newUpdate(position{1, 0}, "a:b"))
	f := &feed{tail: n, wake: func() {}}
	f.open(n.position(), true, wanted("a:b"), nil)
	take(t, f)
	c := newUpdate(position{5, 0}, "a:b")
	f.mark(c.at)
	wantItems(t, take(t, f))
	n.add(c)
	wantItems(t, take(t, f), c)
	wantItems(t, take(t, f))
}
