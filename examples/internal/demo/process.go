// Package demo is what the example servers have in common: settings from the
// environment, log, Redis, authorization, start and stop. How an MCP server
// becomes a handler is in main.go of each. What an embedder would copy is in the
// library: [auth.DiscoverVerifier], [server.ParseSigningKey], and as examples
// fleet.Handler.Shutdown (an orderly stop) and server.New (protection).
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"sync/atomic"

	"github.com/redis/rueidis"

	fleet "github.com/mcpfleet/mcpfleet/mcp"
)

// A Process is one running example: its settings, its log, its Redis and the
// address it listens on. It lives from [Main]'s call of serve until serve returns.
type Process struct {
	Config Config
	Log    *slog.Logger
	Redis  rueidis.Client
	// BaseURL is how clients reach the process, without a slash at its end.
	BaseURL string

	listener net.Listener
	leaving  atomic.Bool // a signal has arrived: the process is not ready any more
	using    func()      // logs which Redis is used; called when all settings have proved valid
}

// Main runs a program: it sets up a Process, calls serve, and exits. The status
// is 0 after an orderly end, 2 for a setting that cannot be used, else 1.
func Main(serve func(*Process) error) {
	err := run(serve)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if _, ok := errors.AsType[*SettingError](err); ok {
		os.Exit(2)
	}
	os.Exit(1)
}

func run(serve func(*Process) error) error {
	if err := noArguments(os.Args[1:]); err != nil {
		return err
	}
	getenv, err := Getenv(".env")
	if err != nil {
		return err
	}
	cfg, err := Load(getenv)
	if err != nil {
		return err
	}
	tuneGC()
	p := &Process{Config: cfg, Log: newLogger(os.Stderr, cfg)}
	if p.listener, err = listen(cfg.address()); err != nil {
		return &SettingError{cfg.notListening(err), err}
	}
	defer p.listener.Close()
	p.BaseURL = baseURL(cfg, p.listener.Addr())
	client, end, err := p.connectRedis()
	if err != nil {
		return err
	}
	defer end()
	p.Redis = client
	return serve(p)
}

// listen listens without Multipath TCP, whose sockets [closeListener] cannot
// close without resetting connections.
func listen(addr string) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	return config.Listen(context.Background(), "tcp", addr) // which bounds nothing but the look-up of the host
}

// noArguments refuses arguments: to ignore them would mislead whoever gave them.
func noArguments(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &SettingError{Setting{Name: args[0]}, errors.New("there are no arguments: settings are environment variables, see .env.example")}
}

// baseURL is known only after listening: the port may have been any free one.
func baseURL(cfg Config, addr net.Addr) string {
	if cfg.BaseURI != nil {
		return cfg.BaseURI.String()
	}
	u := url.URL{Scheme: "http", Host: fmt.Sprintf("localhost:%d", addr.(*net.TCPAddr).Port)}
	return u.String()
}

// Path is the path of the public URL, without a slash at its end.
func (p *Process) Path() string {
	if p.Config.BaseURI == nil {
		return ""
	}
	return p.Config.BaseURI.Path
}

// NewMux returns a mux whose patterns also hold below the path of the public URL:
// a proxy may strip that path or leave it.
func (p *Process) NewMux() *http.ServeMux {
	mux := http.NewServeMux()
	if path := p.Path(); path != "" {
		mux.Handle(path+"/", http.StripPrefix(path, mux))
	}
	return mux
}

// Options returns the options for [fleet.NewHandler] that the settings amount to.
func (p *Process) Options() *fleet.Options {
	opts := &fleet.Options{
		Redis:          p.Redis,
		Prefix:         p.Config.RedisPrefix,
		SessionTTL:     p.Config.SessionTTL,
		DrainDelay:     p.Config.DrainDelay + settle,
		AllowedOrigins: p.Config.AllowedOrigins,
		Logger:         p.Log,
	}
	// The default BASE_URI is loopback, which is allowed as it is.
	if u := p.Config.BaseURI; u != nil {
		opts.AllowedHosts = []string{u.Host}
		opts.AllowedOrigins = append(opts.AllowedOrigins, u.Scheme+"://"+u.Host)
	}
	return opts
}

// RedisError returns the error of [fleet.NewHandler] as one of the setting that
// Redis came from: all other settings have been checked.
func (p *Process) RedisError(err error) error {
	if p.Config.Redis == nil {
		return err
	}
	return &SettingError{p.Config.RedisSetting, err}
}

// tuneGC trades memory for speed. Most of the cost of a call is garbage of the
// SDK's JSON decoding, and little of the heap is live, so by default the collector
// would run hundreds of times a second. GOGC and GOMEMLIMIT take precedence.
func tuneGC() {
	const percent, limit = 400, 1 << 30
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}
