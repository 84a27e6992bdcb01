//go:build unix

package e2e

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A redisLink is one process's way to Redis, which can be cut.
type redisLink struct {
	net.Listener
	redis string

	mu    sync.Mutex // guards all fields below
	cond  *sync.Cond // signalled when state changes
	state linkState
	conns map[net.Conn]struct{}
}

type linkState int

const (
	linkOpen  linkState = iota
	linkCut             // connections are closed, and new ones at once
	linkHoled           // nothing is carried, and nothing closed
)

func newRedisLink(t testing.TB, redis string) *redisLink {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := &redisLink{Listener: listener, redis: redis, conns: map[net.Conn]struct{}{}}
	l.cond = sync.NewCond(&l.mu)
	t.Cleanup(func() {
		_ = l.Close()
		l.set(linkCut)
	})
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go l.carry(near)
		}
	}()
	return l
}

// set changes what the link does from now on.
func (l *redisLink) set(state linkState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = state
	if state == linkCut {
		for c := range l.conns {
			_ = c.Close()
		}
	}
	l.cond.Broadcast()
}

// keep reports whether a connection may go on; the link closes it if it is cut.
func (l *redisLink) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return l.state != linkCut
}

// wait returns when something may be carried, or nothing ever will.
func (l *redisLink) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.state == linkHoled {
		l.cond.Wait()
	}
}

func (l *redisLink) carry(near net.Conn) {
	defer near.Close()
	if !l.keep(near) {
		return
	}
	l.wait()
	far, err := net.Dial("tcp", l.redis)
	if err != nil {
		return
	}
	defer far.Close()
	if !l.keep(far) {
		return
	}
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			defer func() { done <- struct{}{} }()
			_, _ = io.Copy(waiting{l, way[1]}, way[0]) // a connection that breaks is what the link is for
		}()
	}
	<-done
}

// A waiting connection carries nothing while the link has a hole.
type waiting struct {
	link *redisLink
	to   net.Conn
}

func (w waiting) Write(b []byte) (int, error) {
	w.link.wait()
	return w.to.Write(b)
}
