package sse

import "time"

// A Silence says when a stream has been quiet for so long that a comment is due.
// The zero value is for a stream that nobody waits for. It is not safe for
// concurrent use.
type Silence struct {
	timer *time.Timer // nil if nobody waits
	after time.Duration
}

// Quiet returns a channel that receives each time that the silence has lasted for
// d.
func (s *Silence) Quiet(d time.Duration) <-chan time.Time {
	s.timer, s.after = time.NewTimer(d), d
	return s.timer.C
}

// Break begins the silence anew: something has been written.
func (s *Silence) Break() {
	if s.timer != nil {
		s.timer.Reset(s.after)
	}
}
