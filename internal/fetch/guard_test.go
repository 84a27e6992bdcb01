package fetch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"code.dny.dev/ssrf"
)

// A canary counts the connections to this machine's port.
type canary struct {
	port  uint16
	conns atomic.Int64
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	// On every address of the machine, of both families.
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	c := &canary{port: uint16(l.Addr().(*net.TCPAddr).Port)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.conns.Add(1)
			conn.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return c
}

// A zone says which addresses a name has when it is looked up for the n-th time.
type zone func(name string, n int) []string

// resolver returns one that asks the zone.
func (z zone) resolver() *net.Resolver {
	var mu sync.Mutex
	asked := map[string]int{}
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			for {
				query, err := readMessage(far)
				if err != nil {
					return
				}
				name, qtype := question(query)
				mu.Lock()
				if qtype == 1 {
					asked[name]++
				}
				addrs := z(name, max(1, asked[name]))
				mu.Unlock()
				if _, err := far.Write(dnsAnswer(query, qtype, addrs)); err != nil {
					return
				}
			}
		}()
		return near, nil
	}}
}

// readMessage reads a DNS message as TCP carries it (RFC 1035, section 4.2.2).
func readMessage(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, msg)
	return msg, err
}

func question(query []byte) (name string, qtype uint16) {
	var labels []string
	i := 12
	for query[i] != 0 {
		n := int(query[i])
		labels = append(labels, string(query[i+1:i+1+n]))
		i += 1 + n
	}
	return strings.Join(labels, "."), binary.BigEndian.Uint16(query[i+1:])
}

func dnsAnswer(query []byte, qtype uint16, addrs []string) []byte {
	end := 12
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	msg := append([]byte(nil), query[:end+5]...)
	msg[2], msg[3] = 0x81, 0x80 // a response, without error
	var count uint16
	for _, text := range addrs {
		addr := netip.MustParseAddr(text)
		if addr.Is4() != (qtype == 1) || qtype != 1 && qtype != 28 {
			continue
		}
		count++
		raw := addr.AsSlice()
		msg = append(msg, 0xc0, 12, 0, byte(qtype), 0, 1, 0, 0, 0, 0, 0, byte(len(raw)))
		msg = append(msg, raw...)
	}
	binary.BigEndian.PutUint16(msg[6:], count)
	binary.BigEndian.PutUint32(msg[8:], 0)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
}

var errWouldConnect = errors.New("would connect")

// wouldConnect returns the client of Public, but for the resolver and the port,
// that connects to nothing: what the guard lets pass it notes.
func wouldConnect(r *net.Resolver, port uint16) (*http.Client, func() []string) {
	var mu sync.Mutex
	var passed []string
	dialer := guarded(r, port)
	guard := dialer.Control
	dialer.Control = func(network, address string, c syscall.RawConn) error {
		if err := guard(network, address, c); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		passed = append(passed, address)
		return errWouldConnect
	}
	return client(dialer), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return passed
	}
}

// Every form of an address that is not of the public internet.
var insideLiterals = []string{
	"127.0.0.1", "127.255.255.254", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
	"169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]",
	"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255",
	"0.0.0.0", "0.1.2.3", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
	"224.0.0.1", "240.0.0.1", "255.255.255.255",
	"[fc00::1]", "[fdff::1]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]", "[ff02::1]",
	"[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2001:db8::1]", "[2001::1]", "[100::1]",
}

func TestT18_NoLiteralOfTheInsideIsConnectedTo(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	for _, host := range insideLiterals {
		uri := fmt.Sprintf("https://%s:%d/document", host, c.port)
		if _, err := JSON(t.Context(), client(guarded(net.DefaultResolver, c.port)), uri, 1000); !errors.Is(err, ssrf.ErrProhibitedIP) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if n := c.conns.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	// The canary would have noticed.
	_, _ = JSON(t.Context(), Trusted(), fmt.Sprintf("https://0.0.0.0:%d/", c.port), 1000)
	if c.conns.Load() == 0 {
		t.Error("the canary counts no connection")
	}
}

func TestT18_NoNameOfTheInsideIsConnectedTo(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	r := zone(func(name string, n int) []string {
		switch {
		case strings.HasPrefix(name, "rebinding.") && n == 1:
			return []string{"93.184.216.34"}
		case strings.HasPrefix(name, "v6."):
			return []string{"::1"}
		case strings.HasPrefix(name, "mapped."):
			return []string{"::ffff:127.0.0.1"}
		case strings.HasPrefix(name, "many."):
			return []string{"127.0.0.1", "10.0.0.1", "::1"}
		}
		return []string{"127.0.0.1"}
	}).resolver()
	// A guard that looks the name up first would be content.
	if addrs, err := r.LookupHost(t.Context(), "rebinding.example"); err != nil || len(addrs) != 1 || addrs[0] != "93.184.216.34" {
		t.Fatalf("looked up %v, %v", addrs, err)
	}
	for _, host := range []string{
		"private.example", "rebinding.example", "v6.example", "mapped.example", "many.example", "localhost", "localhost.", "LOCALHOST",
		// Forms of 127.0.0.1 that some resolvers know.
		"2130706433", "017700000001", "0x7f000001", "0x7f.1", "127.1", "127.0.0.1.", "0177.0.0.1",
	} {
		uri := fmt.Sprintf("https://%s:%d/document", host, c.port)
		if _, err := JSON(t.Context(), client(guarded(r, c.port)), uri, 1000); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if n := c.conns.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	_, _ = JSON(t.Context(), client(&net.Dialer{Resolver: r}), fmt.Sprintf("https://rebinding.example:%d/", c.port), 1000)
	if c.conns.Load() == 0 {
		t.Error("the canary counts no connection")
	}
}

func TestT18_OfSeveralAddressesOnlyThePublicOnesAreTried(t *testing.T) {
	t.Parallel()
	r := zone(func(string, int) []string { return []string{"10.0.0.1", "93.184.216.34", "127.0.0.1", "::1"} }).resolver()
	c, passed := wouldConnect(r, 443)
	if _, err := JSON(t.Context(), c, "https://some.example/document", 1000); err == nil {
		t.Error("connected")
	}
	for _, address := range passed() {
		if address != "93.184.216.34:443" {
			t.Errorf("would connect to %s", address)
		}
	}
	if len(passed()) == 0 {
		t.Error("would not connect to the public address")
	}
}

func TestT18_OnlyPort443(t *testing.T) {
	t.Parallel()
	r := zone(func(string, int) []string { return []string{"93.184.216.34"} }).resolver()
	for _, uri := range []string{"http://some.example/", "https://some.example:8443/", "https://some.example:22/", "https://93.184.216.34:6379/"} {
		c, passed := wouldConnect(r, 443)
		if _, err := JSON(t.Context(), c, uri, 1000); !errors.Is(err, ssrf.ErrProhibitedPort) || len(passed()) > 0 {
			t.Errorf("%s: %v, would connect to %v", uri, err, passed())
		}
	}
	c, passed := wouldConnect(r, 443)
	if _, err := JSON(t.Context(), c, "https://some.example/", 1000); !errors.Is(err, errWouldConnect) || len(passed()) == 0 {
		t.Errorf("port 443: %v", err)
	}
}

// No t.Parallel: the environment is everybody's.
func TestT19_ProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	c := newCanary(t)
	proxy := fmt.Sprintf("http://127.0.0.1:%d", c.port)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy)
	}
	r := zone(func(string, int) []string { return []string{"93.184.216.34"} }).resolver()
	guardedClient, passed := wouldConnect(r, 443)
	if _, err := JSON(t.Context(), guardedClient, "https://some.example/", 1000); !errors.Is(err, errWouldConnect) {
		t.Errorf("got %v, passed %v", err, passed())
	}
	if c.conns.Load() != 0 {
		t.Error("the proxy was used")
	}
	for name, one := range map[string]*http.Client{"Public": Public(), "Trusted": Trusted()} {
		if one.Transport.(*http.Transport).Proxy != nil {
			t.Errorf("%s has a proxy", name)
		}
	}
}
