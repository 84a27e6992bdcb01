package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/rueidis"
)

type env map[string]string

func (e env) get(name string) string { return e[name] }

var defaults = Config{
	Host: "127.0.0.1", Port: 3232, RedisPrefix: "mcp", SessionTTL: 5 * time.Minute, DrainDelay: 5 * time.Second,
	LogLevel: slog.LevelInfo, LogFormat: "json",
	Auth: AuthConfig{Mode: AuthInternal, IntrospectionID: "mcp-server", RefreshGrace: 2 * time.Minute},
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env  env
		want func(*Config)
	}{
		"nothing set":       {env{}, func(*Config) {}},
		"set to nothing":    {env{"PORT": "", "REDIS_URL": "", "BASE_URI": ""}, func(*Config) {}},
		"any free port":     {env{"PORT": "0"}, func(c *Config) { c.Port = 0 }},
		"another loopback":  {env{"HOST": "::1"}, func(c *Config) { c.Host = "::1" }},
		"loopback by name":  {env{"HOST": "localhost"}, func(c *Config) { c.Host = "localhost" }},
		"prefix":            {env{"REDIS_PREFIX": "a.b:c"}, func(c *Config) { c.RedisPrefix = "a.b:c" }},
		"session TTL":       {env{"SESSION_TTL": "90s"}, func(c *Config) { c.SessionTTL = 90 * time.Second }},
		"drain delay":       {env{"DRAIN_DELAY": "20s"}, func(c *Config) { c.DrainDelay = 20 * time.Second }},
		"no drain delay":    {env{"DRAIN_DELAY": "0"}, func(c *Config) { c.DrainDelay = 0 }},
		"log":               {env{"LOG_LEVEL": "debug", "LOG_FORMAT": "text"}, func(c *Config) { c.LogLevel, c.LogFormat = slog.LevelDebug, "text" }},
		"no authentication": {env{"AUTH_MODE": "none"}, func(c *Config) { c.Auth.Mode = AuthNone }},
		"not on loopback":   {env{"HOST": "0.0.0.0"}, func(c *Config) { c.Host = "0.0.0.0" }},
		"external": {
			env{"AUTH_MODE": "external", "AUTH_SERVER_URL": "https://login.example/"},
			func(c *Config) { c.Auth.Mode, c.Auth.ServerURL = AuthExternal, "https://login.example" },
		},
		"authorization server": {
			env{"AUTH_MODE": "auth_server", "INTROSPECTION_CLIENT_SECRET": "s", "RESOURCE_URIS": "https://a.example/mcp, https://b.example/mcp"},
			func(c *Config) {
				c.Auth.Mode, c.Auth.IntrospectionSecret = AuthServer, "s"
				c.Auth.Resources = []string{"https://a.example/mcp", "https://b.example/mcp"}
			},
		},
		"schemes of applications": {
			env{"REDIRECT_SCHEMES": "cursor, VSCode:,,com.example.app"},
			func(c *Config) { c.Auth.RedirectSchemes = []string{"cursor", "vscode", "com.example.app"} },
		},
		"proxies":                 {env{"TRUSTED_PROXIES": "2"}, func(c *Config) { c.Auth.TrustedProxies = 2 }},
		"refresh grace":           {env{"REFRESH_GRACE": "1m30s"}, func(c *Config) { c.Auth.RefreshGrace = 90 * time.Second }},
		"no refresh grace":        {env{"REFRESH_GRACE": "0s"}, func(c *Config) { c.Auth.RefreshGrace = -1 }},
		"unused AUTH_SERVER_URL":  {env{"AUTH_SERVER_URL": "http://localhost:9000"}, func(*Config) {}},
		"public URL":              {env{"BASE_URI": "https://mcp.example.com"}, func(c *Config) { c.BaseURI = parse(t, "https://mcp.example.com") }},
		"public URL in capitals":  {env{"BASE_URI": "HTTPS://MCP.example.com:443"}, func(c *Config) { c.BaseURI = parse(t, "https://mcp.example.com") }},
		"public URL with a slash": {env{"BASE_URI": "https://example.com:8443/x/"}, func(c *Config) { c.BaseURI = parse(t, "https://example.com:8443/x") }},
		"origins": {
			env{"ALLOWED_ORIGINS": "https://A.example:443, http://localhost:6274,"},
			func(c *Config) { c.AllowedOrigins = []string{"https://a.example", "http://localhost:6274"} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := defaults
			test.want(&want)
			got, err := Load(test.env.get)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRedisSettings(t *testing.T) {
	t.Parallel()
	tlsTo := func(host string) *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host} }
	for name, test := range map[string]struct {
		env  env
		want rueidis.ClientOption
	}{
		"URL": {
			env{"REDIS_URL": "redis://me:secret@db:7000/2"},
			rueidis.ClientOption{InitAddress: []string{"db:7000"}, Username: "me", Password: "secret", SelectDB: 2},
		},
		"URL with TLS": {
			env{"REDIS_URL": "rediss://db"},
			rueidis.ClientOption{InitAddress: []string{"db:6379"}, TLSConfig: tlsTo("db")},
		},
		"URL of a cluster": {
			env{"REDIS_URL": "redis://a:1?addr=b:2&addr=c:3"},
			rueidis.ClientOption{InitAddress: []string{"a:1", "b:2", "c:3"}},
		},
		"URL of sentinels": {
			env{"REDIS_URL": "redis://a:26379?master_set=main"},
			rueidis.ClientOption{InitAddress: []string{"a:26379"}, Sentinel: rueidis.SentinelOption{MasterSet: "main"}},
		},
		"URL wins": {
			env{"REDIS_URL": "redis://a:1", "REDIS_HOST": "b", "REDIS_PORT": "2", "REDIS_TLS": "1"},
			rueidis.ClientOption{InitAddress: []string{"a:1"}},
		},
		"host":     {env{"REDIS_HOST": "db"}, rueidis.ClientOption{InitAddress: []string{"db:6379"}}},
		"port":     {env{"REDIS_PORT": "7000"}, rueidis.ClientOption{InitAddress: []string{"localhost:7000"}}},
		"password": {env{"REDIS_PASSWORD": "secret"}, rueidis.ClientOption{InitAddress: []string{"localhost:6379"}, Password: "secret"}},
		"TLS by 1": {
			env{"REDIS_TLS": "1"},
			rueidis.ClientOption{InitAddress: []string{"localhost:6379"}, TLSConfig: tlsTo("localhost")},
		},
		"TLS by true": {
			env{"REDIS_TLS": "true", "REDIS_HOST": "db"},
			rueidis.ClientOption{InitAddress: []string{"db:6379"}, TLSConfig: tlsTo("db")},
		},
		"TLS declined": {env{"REDIS_TLS": "false"}, rueidis.ClientOption{InitAddress: []string{"localhost:6379"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Load(test.env.get)
			if err != nil {
				t.Fatal(err)
			}
			if got.Redis == nil {
				t.Fatal("the embedded Redis was chosen")
			}
			exported := cmpopts.IgnoreUnexported(tls.Config{}, net.Dialer{})
			if diff := cmp.Diff(test.want, *got.Redis, exported); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestASettingThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, value, want string }{
		{"PORT", "http", "must be a number"},
		{"PORT", "65536", "must be a number"},
		{"PORT", "-1", "must be a number"},
		{"BASE_URI", "localhost:3232", "must be an http or https URL"},
		{"BASE_URI", "ftp://example.com", "must be an http or https URL"},
		{"BASE_URI", "http://example.com/?q", "must be an http or https URL"},
		{"BASE_URI", "https://*.example.com", "must be an http or https URL"},
		{"BASE_URI", "https://example.com/a b", "must have a plain path"},
		{"BASE_URI", "https://example.com/a/../b", "must have a plain path"},
		{"BASE_URI", "https://example.com/{a}", "must have a plain path"},
		{"BASE_URI", "http://example.com", "must be https"},
		{"ALLOWED_ORIGINS", "https://a.example,*", "\"*\" is not an origin"},
		{"ALLOWED_ORIGINS", "https://*.example.com", "is not an origin"},
		{"ALLOWED_ORIGINS", "https://a.example/path", "is not an origin"},
		{"REDIS_URL", "http://db", "invalid URL scheme"},
		{"REDIS_URL", "redis://db/x", "invalid database number"},
		{"REDIS_PORT", "x", "must be a number"},
		{"REDIS_TLS", "yes", "must be 1, true, 0 or false"},
		{"REDIS_PREFIX", "a{b}", "only letters, digits"},
		{"REDIRECT_SCHEMES", "cursor,javascript", "\"javascript\" cannot be the scheme"},
		{"REDIRECT_SCHEMES", "cursor://x", "cannot be the scheme"},
		{"AUTH_MODE", "auth_server", "needs INTROSPECTION_CLIENT_SECRET or SIGNING_KEY_FILE"},
		{"SIGNING_KEY_FILE", "/nowhere", "cannot be read"},
		{"TRUSTED_PROXIES", "-1", "must be a number"},
		{"REFRESH_GRACE", "120", "must be 0s or a duration from 1s to 1h"},
		{"REFRESH_GRACE", "-1s", "must be 0s or a duration"},
		{"REFRESH_GRACE", "10ms", "must be 0s or a duration"},
		{"REFRESH_GRACE", "61m", "must be 0s or a duration"},
		{"AUTH_MODE", "open", "must be one of internal, external, auth_server, none"},
		{"SESSION_TTL", "5", "must be a duration"},
		{"SESSION_TTL", "-5m", "must be a duration"},
		{"SESSION_TTL", "10ms", "must be a duration"},
		{"DRAIN_DELAY", "5", "must be a duration from 0s to 20s"},
		{"DRAIN_DELAY", "-1s", "must be a duration from 0s to 20s"},
		{"DRAIN_DELAY", "21s", "must be a duration from 0s to 20s"},
		{"LOG_LEVEL", "loud", "must be one of debug, info, warn, error"},
		{"LOG_FORMAT", "xml", "must be one of json, text"},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			t.Parallel()
			_, err := Load(env{test.name: test.value}.get)
			setting, ok := errors.AsType[*SettingError](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			if setting.Name != test.name || setting.Value != test.value {
				t.Errorf("it names %s=%q", setting.Name, setting.Value)
			}
			if line := err.Error(); !strings.Contains(line, test.want) || strings.Contains(line, "\n") {
				t.Errorf("it says %q, want one line with %q", line, test.want)
			}
		})
	}
}

func TestSettingsThatDoNotGoTogether(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]env{
		"HOST":             {"AUTH_MODE": "none", "HOST": "0.0.0.0"},
		"AUTH_SERVER_URL":  {"AUTH_MODE": "external"},
		"RESOURCE_URIS":    {"AUTH_MODE": "auth_server", "INTROSPECTION_CLIENT_SECRET": "s", "RESOURCE_URIS": "ftp://a.example/mcp"},
		"SIGNING_KEY_FILE": {"SIGNING_KEY_FILE": keyFile(t, elliptic.P384())},
	} {
		_, err := Load(settings.get)
		if setting, ok := errors.AsType[*SettingError](err); !ok || setting.Name != name {
			t.Errorf("%v: error %v", settings, err)
		}
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"http://me:secret@db",
		"redis://:secret@db/x",
		"redis://secret@db/x",
		"redis://me:secret",
		"redis://me:sec%ret@db",
		"redis:secret",
	} {
		_, err := Load(env{"REDIS_URL": url}.get)
		if err == nil {
			t.Errorf("%s was accepted", url)
			continue
		}
		if line := err.Error(); strings.Contains(line, "secret") || strings.Contains(line, "sec%ret") {
			t.Errorf("%s: %s", url, line)
		}
	}
}

func TestTheFileFillsInWhatTheEnvironmentDoesNotSet(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	write(t, file, "# demo\nPORT=1111\nHOST=::1\nREDIS_PREFIX='from file'\n")
	t.Setenv("PORT", "2222")
	t.Setenv("HOST", "")
	getenv, err := Getenv(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"PORT": "2222", "HOST": "", "REDIS_PREFIX": "from file", "SESSION_TTL": ""}
	got := maps.Clone(want)
	for name := range got {
		got[name] = getenv(name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestThereNeedNotBeAFile(t *testing.T) {
	t.Parallel()
	getenv, err := Getenv(filepath.Join(t.TempDir(), ".env"))
	if err != nil {
		t.Fatal(err)
	}
	if got := getenv("A_VARIABLE_NOBODY_SETS"); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestAFileThatIsNoneIsASettingError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), ".env")
	write(t, file, "REDIS_PASSWORD secret\n")
	_, err := Getenv(file)
	if _, ok := errors.AsType[*SettingError](err); !ok || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// keyFile writes a private key to a file, and returns its name.
func keyFile(t *testing.T, curve elliptic.Curve) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The variable that a message about Redis names is one that was set.
func TestTheSettingOfRedisIsOneThatWasSet(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		env  env
		want Setting
	}{
		{env{"REDIS_HOST": "db", "REDIS_PORT": "7000"}, Setting{"REDIS_HOST", "db"}},
		{env{"REDIS_PORT": "7000"}, Setting{"REDIS_PORT", "7000"}},
		{env{"REDIS_URL": "redis://:secret@db"}, Setting{"REDIS_URL", "redis://...@db"}},
	} {
		cfg, err := Load(test.env.get)
		if err != nil || cfg.RedisSetting != test.want {
			t.Errorf("%v: %v, %v, want %v", test.env, cfg.RedisSetting, err, test.want)
		}
	}
}

func TestArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	if err := noArguments(nil); err != nil {
		t.Error(err)
	}
	err := noArguments([]string{"-port", "4000"})
	if _, ok := errors.AsType[*SettingError](err); !ok || !strings.HasPrefix(err.Error(), "-port: ") {
		t.Errorf("error %v", err)
	}
}
