package redisx

import "github.com/redis/rueidis"

// pin keeps a command that rueidis may send again out of its pool. When a
// connection breaks, rueidis 1.0.79 sends the command over another one and,
// once that answers, reuses its memory, while the goroutine that wrote to the
// broken connection may still read it. Only a command that is sent twice is
// affected, and one cannot tell beforehand which will be.
func pin(cmd rueidis.Completed) rueidis.Completed {
	if cmd.IsRetryable() {
		return cmd.Pin()
	}
	return cmd
}
