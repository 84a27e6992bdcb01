package runner

import (
	"context"
	"crypto/subtle"
	"encoding/json"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/node"
	"github.com/mcpfleet/mcpfleet/internal/roundstore"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// continues returns the request state of a message that continues a call of ours.
func (s *Stateless) continues() (state string, ok bool) {
	if !s.Message.IsCall() || !sdkcompat.Decodes(s.Message.Method) {
		return "", false
	}
	state = s.text(s.params, "requestState")
	return state, roundstore.IsState(state)
}

// claim returns whose call it is, and of what.
func (s *Stateless) claim() string {
	user := ""
	if s.Private {
		user = s.CountedFor
	}
	server := sdkcompat.ServerName(s.Server) // others may share the prefix, by mistake
	return roundstore.Claim(server, user, s.Message.Method, s.text(s.params, nameField(s.Message.Method)), s.params["arguments"])
}

// inputRequired returns the result that says what input is required.
func (s *Stateless) inputRequired(inputs map[string]node.InputRequest, state string) (json.RawMessage, error) {
	result := struct {
		Meta          map[string]any               `json:"_meta,omitempty"`
		ResultType    string                       `json:"resultType"`
		InputRequests map[string]node.InputRequest `json:"inputRequests"`
		RequestState  string                       `json:"requestState"`
	}{ResultType: "input_required", InputRequests: inputs, RequestState: state}
	if impl := sdkcompat.Implementation(s.Server); impl != nil {
		result.Meta = map[string]any{mcp.MetaKeyServerInfo: impl}
	}
	return json.Marshal(result)
}

// resume continues a parked call, wherever it is, with the answers of its client.
func (r *Runner) resume(ctx context.Context, s *Stateless, text string) (*node.Conn, error) {
	if _, err := r.client(s); err != nil {
		return nil, err
	}
	answers, err := node.CheckAnswers(s.params["inputResponses"])
	if err != nil {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: err.Error()}
	}
	state, ok := roundstore.ParseState(text)
	if !ok {
		return nil, node.ErrWrongState
	}
	record, err := r.node.LoadRound(ctx, state)
	if err != nil {
		return nil, err
	}
	claim := s.claim()
	if !equal(record.Round, state.Hash()) || !equal(record.Claim, claim) {
		return nil, node.ErrWrongState
	}
	conn, err := r.node.Accept(node.Request{
		Session: s.Session, CountedFor: s.CountedFor, Stateless: true, FrontOnly: true, Message: s.Message, Extra: s.Extra,
		LogLevel: mcp.LoggingLevel(s.text(s.meta, mcp.MetaKeyLogLevel)),
	})
	if err != nil {
		return nil, err
	}
	answering := node.Answering{Round: record.Round, Claim: claim, Answers: answers}
	ctx = context.WithoutCancel(ctx)
	err = r.node.Continue(ctx, conn, record, answering, func() {
		if err := r.runAgain(ctx, s, conn, state, record, answers); err != nil {
			conn.FailFront(err)
		}
	})
	if err != nil {
		_ = conn.Close() // our own connection's Close does not fail
		return nil, err
	}
	return conn, nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// runAgain runs the call of a dead instance from its start, if that does no harm. What
// it has asked before is answered as it was.
func (r *Runner) runAgain(ctx context.Context, s *Stateless, front *node.Conn, state roundstore.State, record roundstore.Record, answers map[string]json.RawMessage) error {
	if !record.Again {
		return node.ErrCallDied
	}
	given := map[string]json.RawMessage{}
	for _, q := range record.Asks {
		if answer, ok := answers[q.Key]; ok {
			given[q.ID] = answer
		}
	}
	run, all, err := r.node.AdoptRound(ctx, state, record, given)
	if err != nil {
		return err
	}
	if run.Number == 0 { // somebody else has
		return node.ErrWrongState
	}
	e, err := r.prepareStateless(s.withoutState())
	if err != nil {
		return err
	}
	e.Request.Asking.Run, e.Request.Asking.Answers, e.Request.Asking.Front = run, all, front
	r.logger.InfoContext(ctx, "running a call of a dead instance again", "method", s.Message.Method)
	_, err = r.Serve(ctx, e)
	return err
}

// withoutState returns the message as it was when it was sent first.
func (s *Stateless) withoutState() *Stateless {
	first, m := *s, *s.Message
	fields := map[string]json.RawMessage{}
	for name, value := range s.params {
		if name != "requestState" && name != "inputResponses" {
			fields[name] = value
		}
	}
	m.Params, _ = json.Marshal(fields) // what was decoded can be encoded
	first.Message, first.params = &m, fields
	return &first
}
