package demo

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// handshake is how long connections whose handshake has begun have to be accepted.
const handshake = 100 * time.Millisecond

// noSYN is a filter of packets that passes all but those that begin a connection.
var noSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13}, // the flags of the TCP header
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: 0x02},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
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
			program := unix.SockFprog{Len: uint16(len(noSYN)), Filter: &noSYN[0]}
			_ = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
			})
			time.Sleep(handshake)
		}
	}
	_ = listener.Close() // it is not used any more
}
