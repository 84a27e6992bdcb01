package limit_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpfleet/mcpfleet/internal/limit"
)

func TestHeadersSayWhenToComeBack(t *testing.T) {
	t.Parallel()
	rate := limit.Rate{Requests: 10, Per: time.Minute}
	for name, one := range map[string]struct {
		rate    limit.Rate
		verdict limit.Verdict
		want    map[string]string
	}{
		"allowed": {rate, limit.Verdict{Allowed: true, Remaining: 3, Reset: 41 * time.Second},
			map[string]string{"Ratelimit-Limit": "10", "Ratelimit-Remaining": "3", "Ratelimit-Reset": "41"}},
		"refused, rounded up": {rate, limit.Verdict{Reset: 1},
			map[string]string{"Ratelimit-Limit": "10", "Ratelimit-Remaining": "0", "Ratelimit-Reset": "1", "Retry-After": "1"}},
		"no rate": {limit.Rate{}, limit.Verdict{Allowed: true}, map[string]string{}},
	} {
		h := http.Header{}
		one.verdict.Headers(h, one.rate)
		got := map[string]string{}
		for k := range h {
			got[k] = h.Get(k)
		}
		if diff := cmp.Diff(one.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

var addresses = []struct {
	name, peer string
	forwarded  []string
	proxies    int
	want       string
}{
	{"the peer", "192.0.2.1:5", nil, 0, "192.0.2.1"},
	{"the header is not believed without proxies", "192.0.2.1:5", []string{"198.51.100.7"}, 0, "192.0.2.1"},
	{"one proxy", "10.0.0.1:5", []string{"198.51.100.7"}, 1, "198.51.100.7"},
	{"what the client wrote before one proxy", "10.0.0.1:5", []string{"203.0.113.9, 198.51.100.7"}, 1, "198.51.100.7"},
	{"the same in two headers", "10.0.0.1:5", []string{"203.0.113.9", "198.51.100.7"}, 1, "198.51.100.7"},
	{"two proxies", "10.0.0.1:5", []string{"203.0.113.9, 198.51.100.7, 10.0.0.2"}, 2, "198.51.100.7"},
	{"fewer hops than proxies", "10.0.0.1:5", []string{"198.51.100.7"}, 2, "10.0.0.1"},
	{"no header behind a proxy", "10.0.0.1:5", nil, 1, "10.0.0.1"},
	{"an empty hop", "10.0.0.1:5", []string{"198.51.100.7, "}, 1, "10.0.0.1"},
	{"a hop with a port", "10.0.0.1:5", []string{"198.51.100.7:4711"}, 1, "198.51.100.7"},
	{"an IPv6 hop with a port", "10.0.0.1:5", []string{"[2001:db8:1:2::3]:4711"}, 1, "2001:db8:1:2::/64"},
	{"an IPv6 hop in brackets", "10.0.0.1:5", []string{"[2001:db8:1:2::3]"}, 1, "2001:db8:1:2::/64"},
	{"an IPv6 hop without brackets", "10.0.0.1:5", []string{"2001:db8:1:2::3"}, 1, "2001:db8:1:2::/64"},
	{"an IPv6 hop with a zone", "10.0.0.1:5", []string{"fe80::1%eth0"}, 1, "fe80::/64"},
	{"an IPv4 hop as IPv6", "10.0.0.1:5", []string{"::ffff:198.51.100.7"}, 1, "198.51.100.7"},
	{"an IPv4 hop as IPv6 in hexadecimal", "10.0.0.1:5", []string{"[::ffff:c633:6407]:4711"}, 1, "198.51.100.7"},
	{"several headers, of which the last is empty", "10.0.0.1:5", []string{"198.51.100.7", ""}, 1, "10.0.0.1"},
	{"an IPv6 client has its network", "[2001:db8:1:2:3:4:5:6]:5", nil, 0, "2001:db8:1:2::/64"},
	{"the same network", "[2001:db8:1:2:ffff::]:5", nil, 0, "2001:db8:1:2::/64"},
	{"an IPv4 address as IPv6", "[::ffff:192.0.2.1]:5", nil, 0, "192.0.2.1"},
	{"a zone", "[fe80::1%eth0]:5", nil, 0, "fe80::/64"},
	{"no address at all", "pipe", nil, 0, "pipe"},
}

func addressOf(peer string, forwarded []string, proxies int) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = peer
	r.Header["X-Forwarded-For"] = forwarded
	return limit.ClientAddress(r, proxies)
}

func TestClientAddressIsWhatTrustedProxiesSaw(t *testing.T) {
	t.Parallel()
	for _, one := range addresses {
		if got := addressOf(one.peer, one.forwarded, one.proxies); got != one.want {
			t.Errorf("%s: %s, want %s", one.name, got, one.want)
		}
	}
}

// Whatever a client writes into the header, the proxy's part alone decides.
func FuzzClientAddress(f *testing.F) {
	for _, one := range addresses {
		f.Add(strings.Join(one.forwarded, ","), one.proxies)
	}
	f.Fuzz(func(t *testing.T, written string, proxies int) {
		proxies %= 4
		if got := addressOf("192.0.2.1:5", []string{written}, min(proxies, 0)); got != "192.0.2.1" {
			t.Fatalf("without proxies the header made it %q", got)
		}
		if got := addressOf("10.0.0.1:5", []string{written, "198.51.100.7"}, 1); got != "198.51.100.7" {
			t.Fatalf("behind one proxy the client made it %q", got)
		}
		got := addressOf("10.0.0.1:5", []string{written}, 1)
		if addr, err := netip.ParseAddr(got); err == nil && addr.Is6() {
			t.Fatalf("a single IPv6 address %q counts for itself", got)
		}
	})
}
