package demo

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRequestLog(t *testing.T) {
	t.Parallel()
	const id = "0123456789abcdef"
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		header  http.Header
		path    string
		want    map[string]any
	}{
		"a status":       {handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, want: map[string]any{"level": "INFO", "status": 404.0}},
		"a body alone":   {handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "secret") }, want: map[string]any{"level": "INFO", "status": 200.0}},
		"nothing at all": {handler: func(http.ResponseWriter, *http.Request) {}, want: map[string]any{"level": "INFO", "status": 200.0}},
		"an interim status": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusAccepted)
			},
			want: map[string]any{"level": "INFO", "status": 202.0},
		},
		"a broken response": {handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: map[string]any{"level": "INFO", "status": 0.0}},
		"the session of a request": {
			handler: func(http.ResponseWriter, *http.Request) {},
			header:  http.Header{"Mcp-Session-Id": {id}, "Authorization": {"Bearer secret"}},
			want:    map[string]any{"level": "INFO", "status": 200.0, "session": "01234567"},
		},
		"the session a request began": {
			handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Mcp-Session-Id", id) },
			want:    map[string]any{"level": "INFO", "status": 200.0, "session": "01234567"},
		},
		"a probe": {
			handler: func(http.ResponseWriter, *http.Request) {},
			path:    "/readyz",
			want:    map[string]any{"level": "DEBUG", "status": 200.0, "path": "/readyz"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := test.path
			if path == "" {
				path = "/mcp"
				test.want["path"] = path
			}
			req := httptest.NewRequest(http.MethodPost, path+"?code=secret", strings.NewReader("secret"))
			for name, values := range test.header {
				req.Header[name] = values
			}
			line := logged(t, test.handler, req)
			if strings.Contains(line, "secret") || strings.Contains(line, id) {
				t.Errorf("the line says too much: %s", line)
			}
			test.want["msg"], test.want["method"] = "request", "POST"
			wantLine(t, line, test.want)
		})
	}
}

// wantLine checks the attributes of a line, besides its time and duration.
func wantLine(t *testing.T, line string, want map[string]any) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	if d, err := time.ParseDuration(got["duration"].(string)); err != nil || d < 0 {
		t.Errorf("duration %v", got["duration"])
	}
	delete(got, "duration")
	delete(got, "time")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// logged returns the line that the log has for a request to h.
func logged(t *testing.T, h http.Handler, req *http.Request) string {
	t.Helper()
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	func() {
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				panic(v)
			}
		}()
		logRequests(log, h).ServeHTTP(httptest.NewRecorder(), req)
	}()
	return out.String()
}

// Streams need to flush and to set deadlines through the wrapper, in both ways
// that handlers go about it.
func TestTheLogDoesNotHideFlushAndDeadlines(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(logRequests(slog.New(slog.DiscardHandler), http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			rc := http.NewResponseController(w)
			if err := rc.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error(err)
			}
			io.WriteString(w, "1")
			if err := rc.Flush(); err != nil {
				t.Error(err)
			}
			io.WriteString(w, "2")
			w.(http.Flusher).Flush()
		})))
	defer server.Close()
	res, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "12" {
		t.Errorf("read %q, %v", body, err)
	}
}
