package demo

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
)

// A Config is what the environment asks for.
type Config struct {
	Host string
	Port int // 0 is any free port

	// BaseURI is the public URL, nil if the environment names none.
	BaseURI *url.URL
	// AllowedOrigins are further origins that browsers may call from.
	AllowedOrigins []string

	// Redis says how to reach Redis; nil asks for the embedded one.
	Redis *rueidis.ClientOption
	// RedisSetting is the variable that Redis came from, for messages.
	RedisSetting Setting
	RedisPrefix  string

	SessionTTL time.Duration
	// DrainDelay is how long the process goes on serving after a signal, while it
	// says that it is not ready.
	DrainDelay time.Duration

	Auth AuthConfig

	LogLevel  slog.Level
	LogFormat string // "json" or "text"
}

// A Setting is a variable, or a file of variables, and the value it has, with
// any password struck out.
type Setting struct{ Name, Value string }

// A SettingError says which variable cannot be used, and why. It is one line.
type SettingError struct {
	Setting
	Err error
}

func (e *SettingError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("%s=%q: %v", e.Name, e.Value, e.Err)
}

func (e *SettingError) Unwrap() error { return e.Err }

// Load reads the settings through getenv, which returns "" for a variable that
// is not set: a variable set to nothing has its default. Any error is a
// [*SettingError].
func Load(getenv func(string) string) (Config, error) {
	l := loader{getenv: getenv}
	cfg := Config{
		Host:           l.text("HOST", "127.0.0.1"),
		Port:           l.port("PORT", 3232),
		BaseURI:        l.baseURI(),
		AllowedOrigins: l.origins(),
		RedisPrefix:    l.prefix(),
		SessionTTL:     l.duration("SESSION_TTL", 5*time.Minute),
		DrainDelay:     l.drainDelay(),
		LogLevel:       l.level(),
		LogFormat:      l.oneOf("LOG_FORMAT", "json", "text"),
	}
	cfg.Redis, cfg.RedisSetting = l.redis()
	cfg.Auth = l.auth(cfg)
	return cfg, l.err
}

// A loader reads one variable after another and keeps the first error.
type loader struct {
	getenv func(string) string
	err    error
}

func (l *loader) fail(name, value string, err error) {
	if l.err == nil {
		l.err = &SettingError{Setting{name, value}, err}
	}
}

func (l *loader) text(name, fallback string) string {
	if v := l.getenv(name); v != "" {
		return v
	}
	return fallback
}

// oneOf reads a variable that has one of several values, the first by default.
func (l *loader) oneOf(name string, values ...string) string {
	got := l.text(name, values[0])
	if !slices.Contains(values, got) {
		l.fail(name, got, fmt.Errorf("must be one of %s", strings.Join(values, ", ")))
	}
	return got
}

func (l *loader) port(name string, fallback int) int {
	v := l.text(name, strconv.Itoa(fallback))
	port, err := strconv.ParseUint(v, 10, 16)
	if err != nil {
		l.fail(name, v, errors.New("must be a number from 0 to 65535"))
	}
	return int(port)
}

func (l *loader) duration(name string, fallback time.Duration) time.Duration {
	v := l.text(name, fallback.String())
	d, err := time.ParseDuration(v)
	if err != nil || d < time.Second {
		l.fail(name, v, errors.New("must be a duration of at least 1s, such as 90s, 5m or 1h30m"))
	}
	return d
}

func (l *loader) drainDelay() time.Duration {
	v := l.text("DRAIN_DELAY", "5s")
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > maxDrainDelay {
		l.fail("DRAIN_DELAY", v, fmt.Errorf("must be a duration from 0s to %v", maxDrainDelay))
	}
	return d
}

func (l *loader) level() slog.Level {
	var level slog.Level
	v := l.text("LOG_LEVEL", "info")
	if err := level.UnmarshalText([]byte(v)); err != nil {
		l.fail("LOG_LEVEL", v, errors.New("must be one of debug, info, warn, error"))
	}
	return level
}

func (l *loader) prefix() string {
	v := l.text("REDIS_PREFIX", rediskeys.DefaultPrefix)
	if _, err := rediskeys.New(v); err != nil {
		l.fail("REDIS_PREFIX", v, errors.New("only letters, digits and _ . : - are allowed"))
	}
	return v
}

func (l *loader) baseURI() *url.URL {
	v := l.getenv("BASE_URI")
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Contains(u.Host, "*") ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		l.fail("BASE_URI", v, errors.New("must be an http or https URL without user, query and fragment"))
		return nil
	}
	u.Host = canonicalHost(u)
	u.Path = strings.TrimSuffix(u.Path, "/")
	if u.Path != "" && path.Clean(u.Path) != u.Path || u.EscapedPath() != u.Path || strings.ContainsAny(u.Path, "{}") {
		l.fail("BASE_URI", v, errors.New("must have a plain path, of letters, digits, - _ . ~ and single slashes"))
		return nil
	}
	return u
}

func (l *loader) origins() []string {
	var origins []string
	for v := range strings.SplitSeq(l.getenv("ALLOWED_ORIGINS"), ",") {
		v = strings.ToLower(strings.TrimSpace(v))
		if v == "" {
			continue
		}
		u, err := url.Parse(v)
		if err != nil || u.Host == "" || v != u.Scheme+"://"+u.Host || strings.Contains(v, "*") {
			l.fail("ALLOWED_ORIGINS", l.getenv("ALLOWED_ORIGINS"),
				fmt.Errorf("%q is not an origin, such as https://example.com", v))
			return nil
		}
		origins = append(origins, u.Scheme+"://"+canonicalHost(u))
	}
	return origins
}

// canonicalHost returns the host of an http or https URL as browsers send it: in
// lower case, and without a default port.
func canonicalHost(u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":")
	switch u.Scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

func (c Config) address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// notListening returns the variable that is to blame if nothing can listen on
// the address.
func (c Config) notListening(err error) Setting {
	if _, unknown := errors.AsType[*net.DNSError](err); unknown || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return Setting{"HOST", c.Host}
	}
	return Setting{"PORT", strconv.Itoa(c.Port)}
}
