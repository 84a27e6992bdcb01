package loopback

import (
	"net"
	"testing"
)

func TestIsHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.8.8.8": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "LOCALHOST": false, "localhost.": false, "localhost.example": false, "a.localhost": false,
		"localhost:80": false, "127.0.0.1:80": false, "[::1]": false, "127.1": false, "2130706433": false,
		"0.0.0.0": false, "::": false, "128.0.0.1": false, "10.0.0.1": false, "example.com": false,
	} {
		if got := IsHost(host); got != want {
			t.Errorf("IsHost(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestIsHostPort(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "localhost:80": true, "127.0.0.1": true, "127.0.0.1:80": true,
		"::1": true, "[::1]": true, "[::1]:80": true, "[::FFFF:127.0.0.1]:80": true,
		"": false, ":80": false, "localhost.example:80": false, "localhost.:80": false, "localhost:80:80": false,
		"127.0.0.1.example": false, "0.0.0.0:80": false, "[::]:80": false, "example.com": false,
	} {
		if got := IsHostPort(host); got != want {
			t.Errorf("IsHostPort(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestIsAddr(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		addr net.Addr
		want bool
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, true},
		{&net.TCPAddr{IP: net.IPv6loopback, Zone: "lo"}, true},
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}, false},
		{&net.TCPAddr{}, false},
		{&net.IPAddr{IP: net.IPv4(127, 0, 0, 1)}, true},
		{&net.UnixAddr{Name: "/run/mcp"}, false},
	} {
		if got := IsAddr(test.addr); got != test.want {
			t.Errorf("IsAddr(%v) = %v, want %v", test.addr, got, test.want)
		}
	}
}
