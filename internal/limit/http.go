package limit

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Headers tells a client of a verdict (IETF draft "RateLimit header fields for
// HTTP", as of version 6, which is what clients know).
func (v Verdict) Headers(h http.Header, r Rate) {
	if r.Requests <= 0 {
		return
	}
	seconds := strconv.FormatInt(int64((v.Reset+time.Second-1)/time.Second), 10)
	h.Set("RateLimit-Limit", strconv.Itoa(r.Requests))
	h.Set("RateLimit-Remaining", strconv.Itoa(v.Remaining))
	h.Set("RateLimit-Reset", seconds)
	if !v.Allowed {
		h.Set("Retry-After", seconds)
	}
}

// ClientAddress returns whom a request comes from: the peer, or, behind proxies
// that each append the address they see to X-Forwarded-For, what the first of
// them appended. What stands before that the client may have written. Of an
// IPv6 address only the network counts: a client has all of its /64.
func ClientAddress(r *http.Request, proxies int) string {
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		peer = r.RemoteAddr
	}
	if proxies > 0 {
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		if i := len(hops) - proxies; i >= 0 && i < len(hops) {
			if hop := strings.TrimSpace(hops[i]); hop != "" {
				peer = hop
			}
		}
	}
	addr, err := parseAddress(peer)
	if err != nil {
		return peer
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			return network.String()
		}
	}
	return addr.String()
}

// parseAddress reads an address, of which some proxies append the port as well:
// it would make each connection another client.
func parseAddress(text string) (netip.Addr, error) {
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr(), nil
	}
	return netip.ParseAddr(strings.Trim(text, "[]"))
}
