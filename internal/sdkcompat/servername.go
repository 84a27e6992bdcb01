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

// implementation is where a server keeps its own, and name where that keeps its
// Name. It is nil if the SDK has no such field any more.
var implementation, name = func() (implementation, name []int) {
	impl, ok := reflect.TypeFor[mcp.Server]().FieldByName("impl")
	field, has := reflect.TypeFor[mcp.Implementation]().FieldByName("Name")
	if !ok || !has || impl.Type != reflect.TypeFor[*mcp.Implementation]() {
		return nil, nil
	}
	return impl.Index, field.Index
}()

// ServerName returns the Implementation.Name of a server, or nothing if server is
// nil or the name cannot be known.
func ServerName(server *mcp.Server) string {
	if server == nil || implementation == nil {
		return ""
	}
	impl := reflect.ValueOf(server).Elem().FieldByIndex(implementation)
	if impl.IsNil() {
		return ""
	}
	return impl.Elem().FieldByIndex(name).String()
}
