package mcp

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/httperror"
)

// bodies bounds the bytes of request bodies that are under way on an instance: each
// costs many times its size while it is decoded.
type bodies struct {
	limit int64
	taken atomic.Int64
}

// smallBody is the size of a body that costs so little that it counts only while it
// arrives.
const smallBody = 64 << 10

// read reads a body, of the given length if that is not negative. It counts as what
// has arrived of it until release is called, which may be done more than once, or
// until it has been worked on for the time given: a call may take hours, and what its
// handler keeps is the handler's. It fails with [httperror.ErrBusy].
func (b *bodies) read(r io.Reader, length int64, work time.Duration) (data []byte, release func(), err error) {
	counted := &countedBody{r: r, bodies: b}
	data, err = readAll(counted, length)
	if err != nil || len(data) <= smallBody {
		b.taken.Add(-counted.taken)
		return data, func() {}, err
	}
	once := sync.OnceFunc(func() { b.taken.Add(-counted.taken) })
	timer := time.AfterFunc(work, once)
	return data, func() { timer.Stop(); once() }, nil
}

type countedBody struct {
	r      io.Reader
	bodies *bodies
	taken  int64
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.taken += int64(n)
	if c.bodies.taken.Add(int64(n)) > c.bodies.limit {
		return n, httperror.ErrBusy
	}
	return n, err
}

// readAll is io.ReadAll for a reader that has about length bytes. The buffer grows as
// they arrive, and not beyond them.
func readAll(r io.Reader, length int64) ([]byte, error) {
	initial := int64(512)
	if length >= 0 && length <= smallBody {
		initial = length + 1
	}
	data := make([]byte, 0, initial)
	for {
		if len(data) == cap(data) {
			size := 2 * cap(data)
			if left := int(length) + 1; length >= int64(len(data)) && size > left {
				size = left
			}
			data = append(make([]byte, 0, size), data...)
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return data, err
		}
	}
}
