// Package loopback recognizes the names and addresses by which a machine reaches
// itself.
package loopback

import (
	"net"
	"strings"
)

// IsHost reports whether a host without a port, as [net/url.URL.Hostname]
// returns it, is the machine itself: localhost, in lower case, or a loopback
// address.
func IsHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// IsAddr reports whether an end of a connection is the machine itself.
func IsAddr(addr net.Addr) bool {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.IP.IsLoopback()
	}
	return IsHostPort(addr.String())
}

// IsHostPort reports whether a host with or without a port, as in a Host header, is the
// machine itself. It ignores case.
func IsHostPort(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return IsHost(strings.ToLower(strings.Trim(host, "[]")))
}
