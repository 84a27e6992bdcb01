package sse

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mcpfleet/mcpfleet/internal/pace"
)

func readAll(t testing.TB, stream string) []Event {
	t.Helper()
	var events []Event
	for r := bufio.NewReader(strings.NewReader(stream)); ; {
		e, err := Read(r)
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
}

func TestSSEFraming(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		e    Event
		wire string
	}{
		{"data", Event{Data: []byte("x")}, "data: x\n\n"},
		{"id and data", Event{ID: "1", Data: []byte("x")}, "id: 1\ndata: x\n\n"},
		{"an id alone has a data line, or browsers do not note it", Event{ID: "1"}, "id: 1\ndata: \n\n"},
		{"retry alone", Event{Retry: 3 * time.Second}, "retry: 3000\n\n"},
		{"all", Event{ID: "1", Name: "endpoint", Retry: time.Millisecond, Data: []byte("x")}, "event: endpoint\nid: 1\nretry: 1\ndata: x\n\n"},
		{"lines", Event{Data: []byte("a\nb\n\nc")}, "data: a\ndata: b\ndata: \ndata: c\n\n"},
		{"leading blank", Event{Data: []byte("  x")}, "data:   x\n\n"},
		{"nothing", Event{}, "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.wire, string(Append(nil, test.e))); diff != "" {
				t.Error("-want +got:\n" + diff)
			}
		})
	}
}

func TestLineEndsInDataCannotForgeFields(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r", "\r\n"} {
		data := "{" + end + "id: forged" + end + end + "event: x}"
		events := readAll(t, string(Append(nil, Event{ID: "true", Data: []byte(data)})))
		if len(events) != 1 || events[0].ID != "true" || events[0].Name != "" {
			t.Fatalf("%q became %+v", data, events)
		}
		// JSON has line ends only between tokens, where one is as good as two.
		strip := strings.NewReplacer("\r", "", "\n", "")
		if got, want := strip.Replace(string(events[0].Data)), strip.Replace(data); got != want {
			t.Errorf("data %q, want %q", got, want)
		}
	}
}

func TestReadSSE(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*bufio.MaxScanTokenSize)
	for _, test := range []struct {
		name, stream string
		want         []Event
	}{
		{"comments are passed over", ": hi\n\n:\n\nid: 1\n: in between\ndata: x\n\n", []Event{{ID: "1", Data: []byte("x")}}},
		{"blank lines are passed over", "\n\n\ndata: x\n\n\n", []Event{{Data: []byte("x")}}},
		{"carriage returns before line feeds", "id: 1\r\ndata: x\r\n\r\n", []Event{{ID: "1", Data: []byte("x")}}},
		{"no blank after the colon", "id:1\ndata:x\n\n", []Event{{ID: "1", Data: []byte("x")}}},
		{"one blank is dropped, not two", "data:  x\n\n", []Event{{Data: []byte(" x")}}},
		{"a field without a colon", "data\n\n", []Event{{Data: nil}}},
		{"data lines are joined", "data: a\ndata: b\n\n", []Event{{Data: []byte("a\nb")}}},
		{"a first empty line counts", "data:\ndata: b\n\n", []Event{{Data: []byte("\nb")}}},
		{"unknown fields", "foo: 1\ndata: x\n\n", []Event{{Data: []byte("x")}}},
		{"a retry that is no number", "retry: soon\ndata: x\n\n", []Event{{Data: []byte("x")}}},
		{"retry", "retry: 1500\n\n", []Event{{Retry: 1500 * time.Millisecond}}},
		{"an event that the end cuts short is dropped", "data: a\n\ndata: b\n", []Event{{Data: []byte("a")}}},
		{"a line that the end cuts short is dropped", "data: a\n\ndata: b", []Event{{Data: []byte("a")}}},
		{"lines longer than the buffer", "data: " + long + "\nid: 1\n\ndata: y\n\n", []Event{{ID: "1", Data: []byte(long)}, {Data: []byte("y")}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, readAll(t, test.stream), emptyIsNil); diff != "" {
				t.Error("-want +got:\n" + diff)
			}
		})
	}
}

var emptyIsNil = cmp.Transformer("bytes", func(b []byte) string { return string(b) })

func TestAnEventLongerThanTheBoundIsAnError(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]io.Reader{
		"one line":   io.MultiReader(strings.NewReader("data: "), endless("x")),
		"many lines": endless("data: " + strings.Repeat("x", 1000) + "\n"),
	} {
		if _, err := Read(bufio.NewReader(stream)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Comments are no part of an event.
	comments := io.MultiReader(io.LimitReader(endless(": "+strings.Repeat("x", 1000)+"\n\n"), 2*maxEvent/1004*1004), strings.NewReader("data: x\n\n"))
	if e, err := Read(bufio.NewReader(comments)); err != nil || string(e.Data) != "x" {
		t.Errorf("after many comments: %+v, %v", e, err)
	}
}

type endless string

func (s endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(s) <= len(p) {
		n += copy(p[n:], s)
	}
	if n == 0 {
		return 0, io.ErrShortBuffer
	}
	return n, nil
}

func FuzzSSE(f *testing.F) {
	f.Add("1", "endpoint", int64(3000), []byte("{\"a\":\r\n1}\n"))
	f.Add("", "", int64(0), []byte(""))
	f.Fuzz(func(t *testing.T, id, name string, retry int64, data []byte) {
		if strings.ContainsAny(id+name, "\r\n") || strings.Trim(id, "\x00") != id {
			t.Skip() // ids and names are ours
		}
		want := Event{ID: id, Name: name, Data: bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))}
		if retry > 0 && retry < 1<<40 {
			want.Retry = time.Duration(retry) * time.Millisecond
		}
		e := want
		e.Data = data
		events := readAll(t, string(Append(Append(nil, e), Event{Data: []byte("next")})))
		if want.ID == "" && want.Name == "" && want.Retry == 0 && len(data) == 0 {
			events = append([]Event{{}}, events...) // an event with nothing is none
		}
		if diff := cmp.Diff([]Event{want, {Data: []byte("next")}}, events, emptyIsNil); diff != "" {
			t.Error("-want +got:\n" + diff)
		}
	})
}

func FuzzReadSSE(f *testing.F) {
	f.Add([]byte("id: 1\ndata: x\r\n\r\n: c\n\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bufio.NewReader(bytes.NewReader(stream))
		for range len(stream) + 1 {
			if _, err := Read(r); err != nil {
				return
			}
		}
		t.Error("more events than bytes")
	})
}

// A noFlush hides what its ResponseWriter can, as careless middleware does.
type noFlush struct{ http.ResponseWriter }

// An unwrapper is a ResponseWriter as middleware should wrap it.
type unwrapper struct{ http.ResponseWriter }

func (u unwrapper) Unwrap() http.ResponseWriter { return u.ResponseWriter }

type flushError struct{ http.ResponseWriter }

func (flushError) FlushError() error { return errors.New("not today") }

func TestCanFlush(t *testing.T) {
	t.Parallel()
	rec := func() http.ResponseWriter { return httptest.NewRecorder() }
	for _, test := range []struct {
		name string
		w    http.ResponseWriter
		want bool
	}{
		{"bare", rec(), true},
		{"FlushError", flushError{noFlush{rec()}}, true},
		{"hidden", noFlush{rec()}, false},
		{"unwrapped", unwrapper{unwrapper{rec()}}, true},
		{"hidden under a wrapper", unwrapper{noFlush{rec()}}, false},
		{"wrapped over a hidden one", noFlush{unwrapper{rec()}}, false},
	} {
		if got := CanFlush(test.w); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
		// It foretells what net/http will do.
		err := http.NewResponseController(test.w).Flush()
		if supported := !errors.Is(err, http.ErrNotSupported); supported != test.want {
			t.Errorf("%s: a flush says %v", test.name, err)
		}
	}
}

func TestSSEWriterSendsAtOnce(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	w := NewWriter(unwrapper{rec}, pace.Limits{Timeout: time.Second})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	if !rec.Flushed || rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("start: %+v", rec)
	}
	rec.Flushed = false
	if err := w.Write(Event{ID: "1"}, Event{Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := w.Comment("hi"); err != nil {
		t.Fatal(err)
	}
	if want := ": open\n\nid: 1\ndata: \n\ndata: x\n\n: hi\n\n"; rec.Body.String() != want || !rec.Flushed {
		t.Errorf("wrote %q, flushed %v", rec.Body, rec.Flushed)
	}
	if err := NewWriter(flushError{noFlush{rec}}, pace.Limits{Timeout: time.Second}).Write(Event{Data: []byte("x")}); err == nil {
		t.Error("an error of Flush was swallowed")
	}
}

func TestOneLargeEventDoesNotKeepItsMemory(t *testing.T) {
	t.Parallel()
	w := NewWriter(httptest.NewRecorder(), pace.Limits{Timeout: time.Second})
	if err := w.Write(Event{Data: make([]byte, 1<<20)}); err != nil {
		t.Fatal(err)
	}
	if cap(w.buf) > 64<<10 {
		t.Errorf("%d bytes are kept", cap(w.buf))
	}
}

// serveInBubble runs an HTTP server without sockets, whose responses end with
// WriteTimeout unless somebody moves the deadline.
func serveInBubble(t *testing.T, writeTimeout time.Duration, h http.Handler) (dial func() net.Conn) {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: h, WriteTimeout: writeTimeout}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return func() net.Conn {
		near, far := net.Pipe()
		l.conns <- far
		return near
	}
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

func TestWriteDeadlineCutsAClientThatNeverReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan time.Duration, 1)
		dial := serveInBubble(t, 0, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			start := time.Now()
			sse := NewWriter(w, pace.Limits{Timeout: 10 * time.Second})
			if sse.Start() == nil {
				_ = sse.Write(Event{Data: make([]byte, 1<<20)})
			}
			failed <- time.Since(start)
		}))
		conn := dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if got := <-failed; got < 10*time.Second || got > 20*time.Second {
			t.Errorf("gave up after %v", got)
		}
	})
}

func TestAStreamOutlivesTheServersWriteTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dial := serveInBubble(t, 5*time.Second, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sse := NewWriter(w, pace.Limits{Timeout: 10 * time.Second})
			err := sse.Start()
			for range 10 {
				time.Sleep(time.Minute)
				err = errors.Join(err, sse.Comment("hi"))
			}
			if err = errors.Join(err, sse.Write(Event{Data: []byte("last")})); err != nil {
				t.Error(err)
			}
		}))
		client := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(context.Context, string, string) (net.Conn, error) { return dial(), nil },
		}}
		res, err := client.Get("http://x/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if e, err := Read(bufio.NewReader(res.Body)); err != nil || string(e.Data) != "last" {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

// A stream is quiet since it was last written to, whatever was written.
func TestAWriterSaysWhenItHasBeenQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := NewWriter(httptest.NewRecorder(), pace.Limits{Timeout: time.Minute})
		begun := time.Now()
		quiet := w.Quiet(10 * time.Second)
		for _, test := range []struct {
			write func() error
			after time.Duration // the last time it was quiet, or the beginning
			quiet time.Duration // when it is quiet next, counted from the beginning
		}{
			{func() error { return w.Write(Event{Data: []byte("x")}) }, 9 * time.Second, 19 * time.Second},
			{func() error { return w.Comment("x") }, 5 * time.Second, 34 * time.Second},
			{w.KeepAlive, 0, 44 * time.Second},
		} {
			time.Sleep(test.after)
			if err := test.write(); err != nil {
				t.Fatal(err)
			}
			if <-quiet; time.Since(begun) != test.quiet {
				t.Errorf("quiet after %v, want %v", time.Since(begun), test.quiet)
			}
		}
	})
}

// BenchmarkAppend is the price of one event's wire form.
func BenchmarkAppend(b *testing.B) {
	e := Event{ID: "g.123.ABCDEF", Data: []byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"tool","arguments":{},"_meta":{"progressToken":"p"}}}`)}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], e)
	}
}
