package bus

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// A Position is a place on the bus: the id of an entry, behind which one reads.
// The zero Position is the beginning.
type Position struct{ ms, seq uint64 }

// ParsePosition parses a Redis Stream id. Anything else is the zero Position,
// and not ok.
func ParsePosition(s string) (p Position, ok bool) {
	ms, seq, found := strings.Cut(s, "-")
	var err1, err2 error
	p.ms, err1 = strconv.ParseUint(ms, 10, 64)
	p.seq, err2 = strconv.ParseUint(seq, 10, 64)
	if !found || err1 != nil || err2 != nil {
		return Position{}, false
	}
	return p, true
}

// String returns the text form of p, that of a Redis Stream id.
func (p Position) String() string {
	b := make([]byte, 0, 24)
	b = append(strconv.AppendUint(b, p.ms, 10), '-')
	return string(strconv.AppendUint(b, p.seq, 10))
}

func (p Position) compare(q Position) int {
	return cmp.Or(cmp.Compare(p.ms, q.ms), cmp.Compare(p.seq, q.seq))
}

// Before reports whether p comes before q on the bus.
func (p Position) Before(q Position) bool { return p.compare(q) < 0 }

// previous returns the last position before p.
func (p Position) previous() Position {
	switch {
	case p.seq > 0:
		return Position{p.ms, p.seq - 1}
	case p.ms > 0:
		return Position{p.ms - 1, math.MaxUint64}
	default:
		return p
	}
}
