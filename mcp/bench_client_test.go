package mcp_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A benchWire is one connection of a client. It writes prepared bytes and reads no
// more of the response than it must: the load generator shares the machine with what
// it measures.
type benchWire struct {
	*bufio.ReadWriter
	conn net.Conn
}

func dialBench(b testing.TB, s *benchServer) *benchWire {
	b.Helper()
	conn, err := net.Dial("tcp", s.addr)
	must(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	return &benchWire{bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), conn}
}

// An era is how the requests of a protocol version are sent.
type era string

const (
	sessions  era = "2025-11-25"
	stateless era = "2026-07-28"
)

const benchMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}`

// request returns the bytes of a POST of a call. Its params are an object. Of the
// eras the one has a session, the other a name.
func (e era) request(session, method, name, params string) []byte {
	return benchPOST(e.message(session, method, name, params))
}

// message returns the header and the body of the POST of a call.
func (e era) message(session, method, name, params string) (header, body string) {
	header = "Mcp-Protocol-Version: " + string(e) + "\r\n"
	if e == stateless {
		params = withMeta(params)
		header += "Mcp-Method: " + method + "\r\n"
		if name != "" {
			header += "Mcp-Name: " + name + "\r\n"
		}
	} else {
		header += "Mcp-Session-Id: " + session + "\r\n"
	}
	return header, fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":%s}`, method, params)
}

// withMeta adds the _meta of protocols without sessions, into that which params
// begin with, if they do.
func withMeta(params string) string {
	if rest, ok := strings.CutPrefix(params, `{"_meta":{`); ok {
		return "{" + benchMeta + "," + rest
	}
	if params == "{}" {
		return "{" + benchMeta + "}}"
	}
	return "{" + benchMeta + "}," + params[1:]
}

func benchPOST(header, body string) []byte {
	return fmt.Appendf(nil, "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"+
		"Accept: application/json, text/event-stream\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
}

// do sends a request, reads its whole response, and fails if that has not the text
// in it.
func (w *benchWire) do(request []byte, want string) error {
	res, err := w.send(request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if !bytes.Contains(body, []byte(want)) {
		return fmt.Errorf("status %s: %.500s", res.Status, body)
	}
	return nil
}

// send sends a request and returns its response, whose body has yet to be read.
func (w *benchWire) send(request []byte) (*http.Response, error) {
	if _, err := w.Write(request); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	return http.ReadResponse(w.Reader, nil)
}

const (
	benchInitialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",` +
		`"capabilities":{"elicitation":{}},"clientInfo":{"name":"bench","version":"1"}}}`
	benchInitialized = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

// begin begins a session.
func (w *benchWire) begin() (session string, err error) {
	res, err := w.send(benchPOST("", benchInitialize))
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return "", err
	}
	return res.Header.Get("Mcp-Session-Id"), nil
}

// initialized says that the session's client is ready. It may be sent to another
// instance than the session began on.
func (w *benchWire) initialized(session string) error {
	return w.do(benchPOST("Mcp-Session-Id: "+session+"\r\nMcp-Protocol-Version: 2025-11-25\r\n", benchInitialized), "")
}
