//go:build !linux

package demo

import "net"

// closeListener closes a listener. Connections that the program has not accepted
// yet are reset.
func closeListener(listener net.Listener) {
	_ = listener.Close() // it is not used any more
}
