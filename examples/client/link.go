package main

import (
	"context"
	"io"
	"mime"
	"net/http"
	"sync"
)

// A link sends the client's requests. It prints them, and it can break the streams
// that are open, as a failing network does.
type link struct {
	base     http.RoundTripper
	terminal *terminal
	verbose  bool

	mu      sync.Mutex // guards streams
	streams map[*stream]bool
}

// A stream is the body of a response that is an event stream.
type stream struct {
	io.ReadCloser
	link  *link
	abort context.CancelFunc
}

func newLink(term *terminal, verbose bool) *link {
	return &link{base: http.DefaultTransport, terminal: term, verbose: verbose, streams: map[*stream]bool{}}
}

// RoundTrip implements http.RoundTripper.
func (l *link) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, abort := context.WithCancel(req.Context())
	res, err := l.base.RoundTrip(req.WithContext(ctx))
	l.show(req, res, err)
	if err != nil {
		abort()
		return nil, err
	}
	s := &stream{ReadCloser: res.Body, link: l, abort: abort}
	if media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); media == "text/event-stream" {
		l.mu.Lock()
		l.streams[s] = true
		l.mu.Unlock()
	}
	res.Body = s
	return res, nil
}

// show prints a request if it resumes a stream, or if every request is to be shown.
func (l *link) show(req *http.Request, res *http.Response, err error) {
	last := req.Header.Get("Last-Event-ID")
	if last == "" && !l.verbose {
		return
	}
	outcome := ""
	if err != nil {
		outcome = err.Error()
	} else {
		outcome = res.Status + " " + res.Header.Get("Content-Type")
	}
	purpose := ""
	if last != "" {
		purpose = ", to go on after event " + last
	}
	l.terminal.printf("http: %s %s%s: %s", req.Method, req.URL.Path, purpose, outcome)
}

// breakStreams ends all open streams in the middle.
func (l *link) breakStreams() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.streams {
		s.abort()
	}
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.link.mu.Lock()
	delete(s.link.streams, s)
	s.link.mu.Unlock()
	defer s.abort()
	return s.ReadCloser.Close()
}
