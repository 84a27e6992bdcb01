package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A lastingSession serves every request with one SDK session: what a handler
// would cost that had no sessions to tell apart.
type lastingSession struct {
	in   chan jsonrpc.Message
	last atomic.Int64

	mu      sync.Mutex
	waiting map[jsonrpc.ID]chan *jsonrpc.Response
}

func newLastingSession(server *mcp.Server) (*lastingSession, error) {
	s := &lastingSession{in: make(chan jsonrpc.Message), waiting: map[jsonrpc.ID]chan *jsonrpc.Response{}}
	state := &mcp.ServerSessionState{
		InitializeParams:          &mcp.InitializeParams{ProtocolVersion: "2025-11-25", Capabilities: &mcp.ClientCapabilities{}},
		InitializedParams:         &mcp.InitializedParams{},
		NegotiatedProtocolVersion: "2025-11-25",
	}
	_, err := server.Connect(context.Background(), s, &mcp.ServerSessionOptions{State: state})
	return s, err
}

func (s *lastingSession) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var m struct {
		Method string
		Params json.RawMessage
	}
	if json.Unmarshal(body, &m) != nil || m.Method != "tools/call" {
		return // the session has been initialized
	}
	id, err := jsonrpc.MakeID(strconv.FormatInt(s.last.Add(1), 10))
	if err != nil {
		return
	}
	done := make(chan *jsonrpc.Response, 1)
	s.mu.Lock()
	s.waiting[id] = done
	s.mu.Unlock()
	s.in <- &jsonrpc.Request{ID: id, Method: m.Method, Params: m.Params}
	resp := <-done
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":7,"result":%s}`, resp.Result)
}

func (s *lastingSession) Connect(context.Context) (mcp.Connection, error) { return s, nil }
func (s *lastingSession) Read(context.Context) (jsonrpc.Message, error)   { return <-s.in, nil }
func (s *lastingSession) Close() error                                    { return nil }
func (s *lastingSession) SessionID() string                               { return "" }

func (s *lastingSession) Write(_ context.Context, msg jsonrpc.Message) error {
	resp, ok := msg.(*jsonrpc.Response)
	if !ok {
		return nil
	}
	s.mu.Lock()
	done := s.waiting[resp.ID]
	delete(s.waiting, resp.ID)
	s.mu.Unlock()
	done <- resp
	return nil
}
