package bus

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func drawPosition(rt *rapid.T, label string) Position {
	part := rapid.OneOf(rapid.Uint64Range(0, 2), rapid.Just(uint64(math.MaxUint64)), rapid.Uint64())
	return Position{part.Draw(rt, label+" ms"), part.Draw(rt, label+" seq")}
}

func TestPositionsAreOrderedAndComeBackFromTheirText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p, q := drawPosition(rt, "p"), drawPosition(rt, "q")
		if again, ok := ParsePosition(p.String()); !ok || again != p {
			rt.Fatalf("%v becomes %v", p, again)
		}
		if p.Before(q) == q.Before(p) != (p == q) {
			rt.Fatalf("%v and %v are not in order", p, q)
		}
		if before := p.previous(); p != (Position{}) && (!before.Before(p) || before.Before(q) && q.Before(p)) {
			rt.Fatalf("%v is not what precedes %v: %v", before, p, q)
		}
	})
	if p := (Position{}).previous(); p != (Position{}) {
		t.Errorf("before the beginning there is %v", p)
	}
}

func TestWhatIsNoPositionIsTheBeginning(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "-", "1", "1-", "-1", "1-x", "x-1", "1-1-1", "+1-1", "1-+1", " 1-1", "1-1 ", "1_0-1", "0x1-1",
		"18446744073709551616-0", "1-18446744073709551616", "99999999999999999999-99999999999999999999",
	} {
		if p, ok := ParsePosition(s); ok || p != (Position{}) {
			t.Errorf("%q is %v, %v", s, p, ok)
		}
	}
}
