package node

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// A position is a place on the bus: the id of an entry, behind which one reads.
type position struct{ ms, seq uint64 }

// parsePosition parses a Redis Stream id. What is none is the beginning.
func parsePosition(s string) (p position, ok bool) {
	ms, seq, found := strings.Cut(s, "-")
	var err1, err2 error
	p.ms, err1 = strconv.ParseUint(ms, 10, 64)
	p.seq, err2 = strconv.ParseUint(seq, 10, 64)
	if !found || err1 != nil || err2 != nil {
		return position{}, false
	}
	return p, true
}

func (p position) String() string { return string(p.append(make([]byte, 0, 24))) }

// append appends the text form of p.
func (p position) append(b []byte) []byte {
	b = append(strconv.AppendUint(b, p.ms, 10), '-')
	return strconv.AppendUint(b, p.seq, 10)
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.ms, q.ms), cmp.Compare(p.seq, q.seq))
}

func (p position) before(q position) bool { return p.compare(q) < 0 }

// previous returns the last position before p.
func (p position) previous() position {
	switch {
	case p.seq > 0:
		return position{p.ms, p.seq - 1}
	case p.ms > 0:
		return position{p.ms - 1, math.MaxUint64}
	default:
		return p
	}
}
