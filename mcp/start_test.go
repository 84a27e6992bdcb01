package mcp_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

func noServer(*http.Request) *mcp.Server { return nil }

// wantNoHandler fails the test unless NewHandler fails with an error that says
// each of the parts.
func wantNoHandler(t testing.TB, o *fleet.Options, parts ...string) {
	t.Helper()
	h, err := fleet.NewHandler(noServer, o)
	if err == nil {
		_ = h.Shutdown(t.Context())
		t.Errorf("there is a handler, want an error with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q, want %q in it", err, part)
		}
	}
}

func TestOptionsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	redis := redistest.NewMiniredis(t).Client(t)
	options := func(f func(*fleet.Options)) *fleet.Options {
		o := &fleet.Options{Redis: redis, Prefix: redistest.NewPrefix()}
		f(o)
		return o
	}
	wantNoHandler(t, nil, "fleet: ", "Options.Redis is nil")
	wantNoHandler(t, &fleet.Options{}, "fleet: ", "Options.Redis is nil")
	if _, err := fleet.NewHandler(nil, options(func(*fleet.Options) {})); err == nil || err.Error() != "fleet: getServer is nil" {
		t.Errorf("without getServer: %v", err)
	}
	for field := range reflect.TypeFor[fleet.Options]().Fields() {
		switch field.Type.Kind() {
		case reflect.Int, reflect.Int64:
			wantNoHandler(t, options(func(o *fleet.Options) {
				reflect.ValueOf(o).Elem().FieldByIndex(field.Index).SetInt(-1)
			}), "Options."+field.Name)
		}
	}
	for _, prefix := range []string{"{x}", "a b", "é", "a\n", "*"} {
		wantNoHandler(t, options(func(o *fleet.Options) { o.Prefix = prefix }), "Prefix")
	}
	for _, host := range []string{"", "a/b", "https://example.com", "a b", "*", "*.example.com"} {
		wantNoHandler(t, options(func(o *fleet.Options) { o.AllowedHosts = []string{"example.com", host} }), "Options.AllowedHosts")
	}
	for _, origin := range []string{
		"", "*", "null", "example.com", "https://", "https://example.com/", "https://example.com/x", "https://*.example.com",
		"https://a@example.com", "https://example.com?", "https://example.com#x", "HTTPS://example.com", "https://Example.com",
		"https://example.com:443", "http://example.com:80", "https://example.com:",
	} {
		wantNoHandler(t, options(func(o *fleet.Options) { o.AllowedOrigins = []string{"https://example.com", origin} }), "Options.AllowedOrigins")
	}
	for name, f := range map[string]func(*fleet.Options){
		"SessionTTL":      func(o *fleet.Options) { o.SessionTTL = time.Millisecond },
		"SessionLifetime": func(o *fleet.Options) { o.SessionLifetime = time.Millisecond },
		"CacheTTL":        func(o *fleet.Options) { o.CacheTTL = time.Microsecond },
		"RedisTimeout":    func(o *fleet.Options) { o.RedisTimeout = time.Microsecond },
		"DefaultLogLevel": func(o *fleet.Options) { o.DefaultLogLevel = "loud" },
	} {
		wantNoHandler(t, options(f), "Options."+name)
	}
}

// Two handlers in one process, with one client, never meet.
func TestPrefixesShareNothing(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{}, func(t *testing.T, s *simulation) {
		c := s.session(t)
		s.prefix = redistest.NewPrefix()
		other := s.join(t, simulated{})
		if got := read(t, at(c, other.url).Post(t, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)); got.Status != http.StatusNotFound {
			t.Errorf("a session of another prefix: %+v", got)
		}
	})
}

func TestRedisThatIsTooOld(t *testing.T) {
	t.Parallel()
	for version, usable := range map[string]bool{
		"5.0.14": false, "6.0.16": false, "6.2.0": true, "6.2.6-alpine": true, "7.0.15": true, "8.4": true, "10.0.0": true, "255.255.255": true,
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m := redistest.Mini(t)
			m.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
				if cmd != "INFO" {
					return false
				}
				c.WriteBulk("# Server\r\nredis_version:" + version + "\r\nredis_mode:standalone\r\n")
				return true
			})
			client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{m.Addr()}, ForceSingleClient: true, DisableCache: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			if !usable {
				wantNoHandler(t, &fleet.Options{Redis: client}, "fleet: ", "redis "+version+" is too old: 6.2 is needed")
				return
			}
			h, err := fleet.NewHandler(noServer, &fleet.Options{Redis: client})
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRedisThatIsAwayAtTheStart(t *testing.T) {
	t.Parallel()
	eachOutage(t, simulated{}, func(t *testing.T, s *simulation, begin func()) {
		client := s.instances[0].link.Client(t) // rueidis makes none of a Redis that is away
		begin()
		began := time.Now()
		wantNoHandler(t, &fleet.Options{Redis: client}, "fleet: ", "redis is unavailable")
		if took := time.Since(began); took > 4*time.Second { // as in TestRequestsFailSoonWhileRedisIsAway
			t.Errorf("it took %v", took)
		}
	})
}

// The operator is told which permission is missing.
func TestRedisUserWithoutPermission(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	admin := redis.Client(t)
	for name, test := range map[string]struct {
		rules []string
		says  string
	}{
		"no scripts":     {[]string{"~*", "+@all", "-evalsha", "-eval"}, "evalsha"},
		"no streams":     {[]string{"~*", "+@all", "-@stream"}, "can't run this command"},
		"no such keys":   {[]string{"~other:*", "+@all"}, "NOPERM"},
		"no expiry":      {[]string{"~*", "+@all", "-pexpire"}, "can't run this command"},
		"nothing at all": {[]string{"~*", "+@connection"}, "NOPERM"},
	} {
		user := strings.ReplaceAll(name, " ", "-")
		cmd := admin.B().Arbitrary("ACL", "SETUSER", user, "on", ">secret").Args(test.rules...).Build()
		if err := admin.Do(t.Context(), cmd).Error(); err != nil {
			t.Fatal(err)
		}
		client := redis.Client(t, func(o *rueidis.ClientOption) { o.Username, o.Password = user, "secret" })
		wantNoHandler(t, &fleet.Options{Redis: client}, "fleet: ", test.says)
	}
}
