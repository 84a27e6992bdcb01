package demo

import (
	"log/slog"
	"net/http"
	"time"
)

const sessionHeader = "Mcp-Session-Id"

// logRequests writes a line for each request when it has ended. Bodies, queries
// and credentials are not in it, and of a session's id only the beginning: in
// some set-ups the id is all one needs to use the session.
func logRequests(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		sw := &statusWriter{ResponseWriter: w}
		// Deferred, because a handler may end a response by panicking.
		defer func() {
			attrs := []slog.Attr{
				slog.String("method", r.Method),
				slog.String("path", r.URL.Path),
				slog.Int("status", sw.status),
				slog.String("duration", time.Since(start).Round(time.Microsecond).String()),
			}
			if id := session(w, r); id != "" {
				attrs = append(attrs, slog.String("session", shorten(id)))
			}
			log.LogAttrs(r.Context(), level(r), "request", attrs...)
		}()
		next.ServeHTTP(sw, r)
		sw.end()
	})
}

// level hides the probes of orchestrators, which come every few seconds.
func level(r *http.Request) slog.Level {
	if r.URL.Path == "/livez" || r.URL.Path == "/readyz" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// session is the session that the request names or that it began.
func session(w http.ResponseWriter, r *http.Request) string {
	if id := r.Header.Get(sessionHeader); id != "" {
		return id
	}
	return w.Header().Get(sessionHeader)
}

func shorten(id string) string { return id[:min(len(id), 8)] }

// A statusWriter records the status, 0 if none was sent. The other methods of the
// wrapped writer, such as deadlines, are reached through Unwrap.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	// 1xx come before the status.
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	w.end()
	return w.ResponseWriter.Write(p)
}

// Flush is for those who ask for an [http.Flusher] and not for a controller.
func (w *statusWriter) Flush() {
	w.end()
	http.NewResponseController(w.ResponseWriter).Flush()
}

// end records the status that net/http sends for a handler that set none.
func (w *statusWriter) end() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
}
