package demotest

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/authtest"
)

// An Output is what an example prints, read line by line. Where the example
// prints the address of a login, alice logs in.
type Output struct {
	t     testing.TB
	lines chan string
	seen  []string
}

// ReadOutput reads r to its end.
func ReadOutput(t testing.TB, r io.Reader) *Output {
	t.Helper()
	o := &Output{t: t, lines: make(chan string, 10_000)}
	browser := authtest.NewBrowser(t)
	go func() {
		defer close(o.lines)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if address := strings.TrimSpace(lines.Text()); strings.Contains(address, "/authorize?") {
				o.logIn(browser, address)
			}
			o.lines <- lines.Text()
		}
	}()
	return o
}

func (o *Output) logIn(browser *authtest.Browser, address string) {
	back, err := browser.Login(address, "alice")
	if err != nil {
		o.t.Errorf("log in at %s: %v", address, err)
		return
	}
	res, err := http.Get(back.String())
	if err != nil {
		o.t.Errorf("return from the login: %v", err)
		return
	}
	res.Body.Close()
}

// WaitFor returns the next line that has text in it, passing over those before
// it. The test fails if there is none.
func (o *Output) WaitFor(text string) string {
	o.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-o.lines:
			if !ok {
				o.t.Fatalf("no line with %q; all lines:\n%s", text, strings.Join(o.seen, "\n"))
			}
			o.seen = append(o.seen, line)
			if strings.Contains(line, text) {
				return line
			}
		case <-timeout:
			o.t.Fatalf("no line with %q for %v; all lines:\n%s", text, patience, strings.Join(o.seen, "\n"))
		}
	}
}

// All waits for the end and returns all lines.
func (o *Output) All() []string {
	for line := range o.lines {
		o.seen = append(o.seen, line)
	}
	return o.seen
}
