package redisx

import (
	"errors"
	"time"
)

// How often a write that failed at once is tried again, and how soon: rueidis
// keeps up to four connections, and finds out that one has broken, as all have
// after a failover, only when it is used.
const (
	writeRetries    = 4
	writeRetryAfter = 10 * time.Millisecond
)

// RetryWrite calls write, and again if it failed before its time was up, as it
// does over a broken connection: rueidis does not repeat writes. All tries
// together have the time of one, so that a Redis that hangs holds nobody up for
// longer; write must use the client that it is given.
func (c Client) RetryWrite(write func(Client) error) error {
	deadline := time.Now().Add(c.Timeout)
	for try := 0; ; try++ {
		err := write(c)
		c.Timeout = time.Until(deadline) - writeRetryAfter
		if !errors.Is(err, ErrUnavailable) || try == writeRetries || c.Timeout <= 0 {
			return err
		}
		time.Sleep(writeRetryAfter)
	}
}
