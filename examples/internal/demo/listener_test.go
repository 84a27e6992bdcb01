//go:build linux

package demo

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Clients connect and send all the time. Whoever is connected when the listener
// closes is served; all others are refused, or have no connection yet.
func TestClosingTheListenerResetsNoConnection(t *testing.T) {
	t.Parallel()
	for range 4 {
		listener, err := listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var served sync.WaitGroup
		served.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				served.Go(func() {
					defer conn.Close()
					var b [1]byte
					_, _ = io.ReadFull(conn, b[:]) // its client fails
					_, _ = conn.Write(b[:])
				})
			}
		})
		var clients sync.WaitGroup
		var exchanges atomic.Int64
		for range 8 {
			clients.Go(func() {
				for {
					err := exchange(listener.Addr().String())
					if errors.Is(err, syscall.ECONNREFUSED) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					exchanges.Add(1)
				}
			})
		}
		for exchanges.Load() < 100 {
			time.Sleep(time.Millisecond) // until they are all busy
		}
		closeListener(listener)
		clients.Wait()
		served.Wait()
	}
}

func exchange(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		return fmt.Errorf("write: %v", err)
	}
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return fmt.Errorf("connected, but: %v", err)
	}
	return nil
}
