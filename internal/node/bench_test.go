package node

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// BenchmarkConn is the price of one call, from the decoded message to the
// response, without HTTP and without the session's record.
func BenchmarkConn(b *testing.B) {
	f := newFleet(b, redistest.NewMiniredis(b), Options{})
	sid, state, server := beginSession(b, f.store), testState(b), echo()
	m := decode(b, []byte(toolCall("0")))
	var call int
	b.ReportAllocs()
	for b.Loop() {
		call++
		message := *m
		message.ID = json.RawMessage(strconv.Itoa(call))
		conn, err := f.nodes[0].Accept(Request{
			Session: sid, Message: &message, Extra: &mcp.RequestExtra{Header: http.Header{}}, Client: state.InitializeParams.Capabilities, Resumable: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := server.Connect(conn.Context(b.Context()), conn, &mcp.ServerSessionOptions{State: state}); err != nil {
			b.Fatal(err)
		}
		if a := <-conn.Response(); a.Err != nil || len(a.Body) == 0 {
			b.Fatal(a.Err)
		}
		<-conn.Done()
	}
}
