package sdkcompat

import (
	"reflect"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// An optionIndex is where an *mcp.Server keeps a field of its ServerOptions,
// which it does not show. It is nil if the SDK has no such field any more.
type optionIndex []int

func indexOf(option string) optionIndex {
	opts, ok := reflect.TypeFor[mcp.Server]().FieldByName("opts")
	if !ok || opts.Type.Kind() != reflect.Struct {
		return nil
	}
	field, ok := opts.Type.FieldByName(option)
	if !ok {
		return nil
	}
	return append(append(optionIndex{}, opts.Index...), field.Index...)
}

// value returns a server's value for the option, or nil if it cannot be known.
func (i optionIndex) value(server *mcp.Server) any {
	if i == nil {
		return nil
	}
	field := reflect.ValueOf(server).Elem().FieldByIndex(i)
	return reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().Interface() // written by NewServer, and never again
}

// isSet reports whether a server has another value for the option than zero.
func (i optionIndex) isSet(server *mcp.Server) bool {
	return i != nil && !reflect.ValueOf(server).Elem().FieldByIndex(i).IsZero()
}
