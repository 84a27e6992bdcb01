package options

import (
	"context"
	"log/slog"
)

// Logger returns the logger of an option, which may be nil. Unless crash is set, a
// panic in its handler costs the one line: we log on goroutines of our own, where
// it would end the process.
func Logger(l *slog.Logger, crash bool) *slog.Logger {
	switch {
	case l == nil:
		return slog.New(slog.DiscardHandler)
	case crash:
		return l
	default:
		return slog.New(recovering{l.Handler()})
	}
}

// A recovering is a handler that does not panic.
type recovering struct{ slog.Handler }

// Enabled implements [slog.Handler].
func (h recovering) Enabled(ctx context.Context, level slog.Level) bool {
	defer func() { _ = recover() }()
	return h.Handler.Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (h recovering) Handle(ctx context.Context, r slog.Record) error {
	defer func() { _ = recover() }() // there is nowhere to log it
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h recovering) WithAttrs(attrs []slog.Attr) slog.Handler {
	return recovering{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h recovering) WithGroup(name string) slog.Handler {
	return recovering{h.Handler.WithGroup(name)}
}
