package demo

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// redis returns how to reach Redis and the variable that says so, or nil if no
// variable does.
func (l *loader) redis() (*rueidis.ClientOption, Setting) {
	if v := l.getenv("REDIS_URL"); v != "" {
		return l.redisURL(v)
	}
	return l.redisParts()
}

func (l *loader) redisURL(v string) (*rueidis.ClientOption, Setting) {
	u, err := url.Parse(v)
	if err != nil || u.Opaque != "" {
		// It may have a password anywhere, and the error of package url quotes it, so
		// only its beginning is shown.
		scheme, _, _ := strings.Cut(v, ":")
		shown := scheme[:min(len(scheme), len("rediss"))] + "..."
		l.fail("REDIS_URL", shown, errors.New("not a URL such as redis://user:password@host:6379/0"))
		return nil, Setting{}
	}
	if u.User != nil {
		u.User = url.User("...")
	}
	opt, err := rueidis.ParseURL(v)
	if err != nil {
		l.fail("REDIS_URL", u.String(), err)
	}
	return &opt, Setting{"REDIS_URL", u.String()}
}

// redisParts reads the variables that each hold a part of an address. Any of
// them asks for a real Redis; what the others leave out has its usual value.
func (l *loader) redisParts() (*rueidis.ClientOption, Setting) {
	password := l.getenv("REDIS_PASSWORD")
	if l.getenv("REDIS_HOST")+l.getenv("REDIS_PORT")+l.getenv("REDIS_TLS")+password == "" {
		return nil, Setting{}
	}
	host, port := l.text("REDIS_HOST", "localhost"), l.port("REDIS_PORT", 6379)
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	opt := &rueidis.ClientOption{InitAddress: []string{addr}, Password: password}
	switch v := l.text("REDIS_TLS", "0"); v {
	case "1", "true":
		opt.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	case "0", "false":
	default:
		l.fail("REDIS_TLS", v, errors.New("must be 1, true, 0 or false"))
	}
	if l.getenv("REDIS_HOST") == "" && l.getenv("REDIS_PORT") != "" {
		return opt, Setting{"REDIS_PORT", strconv.Itoa(port)}
	}
	return opt, Setting{"REDIS_HOST", host}
}
