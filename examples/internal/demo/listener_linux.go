package demo

import (
	"net"
	"syscall"
	"time"
)

// handshake is how long connections whose handshake has begun have to be accepted.
const handshake = 100 * time.Millisecond

// noSYN is a filter of packets that passes all but those that begin a connection.
var noSYN = []syscall.SockFilter{
	{Code: syscall.BPF_LD | syscall.BPF_B | syscall.BPF_ABS, K: 13}, // the flags of the TCP header
	{Code: syscall.BPF_JMP | syscall.BPF_JSET | syscall.BPF_K, Jf: 1, K: 0x02},
	{Code: syscall.BPF_RET | syscall.BPF_K, K: 0},
	{Code: syscall.BPF_RET | syscall.BPF_K, K: 0xffffffff},
}

// closeListener closes a listener without resetting a connection. The system makes
// connections before the program accepts them, and resets those that are not
// accepted when the listener closes: a balancer may have sent a request by then,
// and must not send it elsewhere. So no connection is begun any more, a moment
// before: who tries does so again in a second, and is refused.
func closeListener(listener net.Listener) {
	if tcp, ok := listener.(*net.TCPListener); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			// What goes wrong costs no more than what others lose by closing at once.
			_ = raw.Control(func(fd uintptr) { _ = syscall.AttachLsf(int(fd), noSYN) })
			time.Sleep(handshake)
		}
	}
	_ = listener.Close() // it is not used any more
}
