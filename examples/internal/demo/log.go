package demo

import (
	"io"
	"log/slog"
	"os"
)

// ServerLog is the log of SDK servers: warnings and errors only. At level info
// the SDK writes three lines a request, two of them with the session's whole id.
func (p *Process) ServerLog() *slog.Logger {
	cfg := p.Config
	cfg.LogLevel = max(cfg.LogLevel, slog.LevelWarn)
	return newLogger(os.Stderr, cfg)
}

func newLogger(w io.Writer, cfg Config) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
