package sdkcompat

import (
	"reflect"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The SDK does not tell the name that a server was made with. It has to be asked by
// a request, which middleware sees, and which would cost a server that is made for
// a single request as much as that request.
//
// Seen in: v1.8.0.
// Here: the name is read from a private field.
// Test: TestServerNamesAreNotTold.

// implementation is where a server keeps its own. It is nil if the SDK has no such
// field any more.
var implementation = func() []int {
	impl, ok := reflect.TypeFor[mcp.Server]().FieldByName("impl")
	if !ok || impl.Type != reflect.TypeFor[*mcp.Implementation]() {
		return nil
	}
	return impl.Index
}()

// Implementation returns what a server was made with, which must not be changed. It
// is nil if the server is, or if it cannot be known.
func Implementation(server *mcp.Server) *mcp.Implementation {
	if server == nil || implementation == nil {
		return nil
	}
	field := reflect.ValueOf(server).Elem().FieldByIndex(implementation)
	return *(**mcp.Implementation)(field.Addr().UnsafePointer()) // written by NewServer, and never again
}

// ServerName returns the Implementation.Name of a server, or nothing if server is
// nil or the name cannot be known.
func ServerName(server *mcp.Server) string {
	if impl := Implementation(server); impl != nil {
		return impl.Name
	}
	return ""
}
