package runner

import (
	"context"
	"encoding/json"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// A direct is a call that is given to the server's handler by us. The SDK's session
// is only for what the handler sends.
type direct struct {
	runner  *Runner
	server  *mcp.Server
	faults  *sdkcompat.Request
	request node.Request
	version string // of the session
	// set before the request is handled
	conn    *node.Conn
	session *mcp.ServerSession
	name    string // of the tool or prompt, or the URI of the resource; set before the handler runs
}

// handle is [node.Request.Handle].
func (d *direct) handle(ctx context.Context, params json.RawMessage) (json.RawMessage, error) {
	method := d.request.Message.Method
	decoded, err := sdkcompat.Decode(method, params, d.request.Extra)
	if err != nil {
		return nil, err
	}
	d.name = decoded.Name
	result, err := d.faults.Run(ctx, method, func() (mcp.Result, error) {
		result, err := d.run(ctx, method, decoded)
		switch {
		case !d.request.Stateless:
			return result, err
		case err != nil:
			return nil, explained(err)
		default:
			return result, d.checkInputs(result)
		}
	})
	if err == nil && d.request.Stateless && !d.runner.rounds.HasStandIns() {
		result, err = complete(result)
	}
	if err != nil || d.request.Result == nil {
		return result, err
	}
	return d.request.Result(result)
}

// run calls the server's handler.
func (d *direct) run(ctx context.Context, method string, decoded sdkcompat.Decoded) (mcp.Result, error) {
	handler := sdkcompat.Handler(d.server)
	if d.request.Stateless {
		if err := d.checkParamHeaders(ctx, decoded); err != nil {
			return nil, err
		}
	}
	if !d.request.Stateless || d.version == VersionStateless {
		return handler(ctx, method, decoded.For(d.session))
	}
	standIn, free, err := d.runner.rounds.Lend(method, decoded.Name, d.session, d.conn)
	if err != nil {
		return nil, err
	}
	defer free()
	return handler(ctx, method, decoded.For(standIn))
}

// explained returns a handler's error in the words of the protocol, if it is the SDK's
// that the client cannot be elicited.
func explained(err error) error {
	if mode, ok := sdkcompat.CannotElicit(err); ok {
		return node.MissingElicitation(mode, err.Error())
	}
	return err
}

// checkInputs fails if a handler returned input requests of a kind that the client did
// not declare.
func (d *direct) checkInputs(result mcp.Result) error {
	returned := sdkcompat.InputRequests(result)
	if len(returned) == 0 {
		return nil
	}
	var inputs map[string]node.InputRequest
	encoded, err := json.Marshal(returned)
	if err != nil || json.Unmarshal(encoded, &inputs) != nil {
		return nil // as a result it cannot be encoded either, which is said then
	}
	return node.CheckInputs(d.request.Client, inputs)
}

// complete returns a result with the type that the SDK gives it only for clients of
// 2026-07-28.
func complete(result json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(result, &fields); err != nil || fields == nil {
		return result, err
	}
	fields["resultType"] = json.RawMessage(`"complete"`)
	return json.Marshal(fields)
}

// mayRunAgain reports whether the call does no harm if it is run again: it only reads,
// or its tool says that it may be repeated.
func (d *direct) mayRunAgain() bool {
	if d.request.Message.Method != "tools/call" {
		return true
	}
	ctx := d.conn.Context(context.Background()) // it is looked up in memory
	tool, err := d.runner.rounds.Tool(ctx, d.session, d.name)
	return err == nil && tool != nil && tool.Annotations != nil && (tool.Annotations.ReadOnlyHint || tool.Annotations.IdempotentHint)
}

// checkParamHeaders fails unless the headers of a call of a tool say what its
// arguments say.
func (d *direct) checkParamHeaders(ctx context.Context, decoded sdkcompat.Decoded) error {
	call, ok := decoded.For(d.session).GetParams().(*mcp.CallToolParamsRaw)
	if !ok {
		return nil
	}
	return d.runner.checkParamHeaders(ctx, d.server, d.session, d.request.Extra.Header, call)
}
