package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A serverRequest is a request of the server that the client has yet to answer.
type serverRequest struct {
	id       jsonrpc.ID      // of the SDK
	token    json.RawMessage // the SDK's progress token, nil if there is none
	asked    time.Time
	read     time.Time // when somebody was last seen reading the stream it is on
	detached bool      // it is on the standalone stream, not on the call's
}

// serverRequests are the open server requests of one connection, by number. The SDK counts
// its requests on each connection from 1, so the fleet would be full of
// requests with the same id: each goes out under the name of its instance,
// connection and number, and the response finds its way by that name.
type serverRequests struct {
	last int
	open map[string]*serverRequest
}

// serverRequestName is how a server request, and its progress, is named to the client.
func (c *Conn) serverRequestName(number string) string {
	return c.node.id + "." + c.id + "." + number
}

// parseServerRequestName is the reverse of serverRequestName, for a client of a session.
func parseServerRequestName(session, name string) (instance string, ref serverRequestRef, ok bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 3 || !validInstance(parts[0]) {
		return "", serverRequestRef{}, false
	}
	return parts[0], serverRequestRef{Session: session, Conn: parts[1], Number: parts[2]}, true
}

// validInstance keeps what a client sends from naming any other key.
func validInstance(s string) bool {
	return len(s) == 16 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// ask sends a request of the server to the client.
func (c *Conn) ask(ctx context.Context, m *jsonrpc.Request) error {
	speaks := c.speaks(ctx)
	if m.Method == "ping" && !speaks {
		// ServerOptions.KeepAlive. What it is for, noticing a client that is
		// gone, does not apply to the connection of one request, which it would
		// end in the middle of a long call.
		c.incoming.put(&jsonrpc.Response{ID: m.ID, Result: json.RawMessage("{}")})
		return nil
	}
	if err := c.checkCapability(m.Method); err != nil {
		return sdkcompat.Rejected(err)
	}
	sr := &serverRequest{id: m.ID, asked: time.Now(), read: time.Now(), detached: !speaks || !c.req.Message.IsCall() || c.shared()}
	number := c.addServerRequest(sr)
	if err := c.emitServerRequest(ctx, sr, number, m); err != nil {
		c.takeServerRequest(number)
		return sdkcompat.Rejected(err)
	}
	return nil
}

func (c *Conn) emitServerRequest(ctx context.Context, sr *serverRequest, number string, m *jsonrpc.Request) error {
	name, err := json.Marshal(c.serverRequestName(number))
	if err != nil {
		return err
	}
	params, token, err := replaceProgressToken(m.Params, name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	sr.token = token // the server request's name can be guessed: progress may be there before it is asked
	c.mu.Unlock()
	data, err := jsonrpcmsg.EncodeRequest(name, m.Method, params)
	if err != nil {
		return err
	}
	if sr.detached {
		return c.standalone(ctx, data)
	}
	return c.emit(ctx, data)
}

// checkCapability fails if the client did not declare the capability for a server request.
func (c *Conn) checkCapability(method string) error {
	caps := c.req.Client
	if caps == nil {
		caps = &mcp.ClientCapabilities{}
	}
	var can bool
	switch method {
	case "sampling/createMessage":
		can = caps.Sampling != nil
	case "roots/list":
		can = caps.RootsV2 != nil
	case "elicitation/create":
		can = caps.Elicitation != nil
	default:
		can = true
	}
	if !can {
		feature, _, _ := strings.Cut(method, "/")
		return fmt.Errorf("client does not support %s", feature)
	}
	return nil
}

func (c *Conn) addServerRequest(sr *serverRequest) (number string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked.open == nil {
		c.asked.open = map[string]*serverRequest{}
	}
	c.asked.last++
	number = strconv.Itoa(c.asked.last)
	c.asked.open[number] = sr
	return number
}

// takeServerRequest returns an open server request, which then is no longer open: of all
// responses the first counts.
func (c *Conn) takeServerRequest(number string) *serverRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	sr := c.asked.open[number]
	delete(c.asked.open, number)
	return sr
}

// receiveResponse takes a client's response to a server request.
func (c *Conn) receiveResponse(m responseArrived) {
	sr := c.takeServerRequest(m.Number)
	if sr == nil {
		return // late, or a second response
	}
	resp := &jsonrpc.Response{ID: sr.id, Result: m.Data}
	if m.IsError {
		var e jsonrpc.Error
		if err := json.Unmarshal(m.Data, &e); err != nil {
			e = jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "malformed error of the client"}
		}
		resp.Result, resp.Error = nil, &e
	}
	c.incoming.put(resp)
}

// receiveProgress takes a client's progress with a server request.
func (c *Conn) receiveProgress(m progressArrived) {
	var token json.RawMessage
	c.mu.Lock()
	if sr := c.asked.open[m.Number]; sr != nil {
		token = sr.token
	}
	c.mu.Unlock()
	if token == nil {
		return
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(m.Params, &fields) != nil {
		return
	}
	fields["progressToken"] = token
	params, err := json.Marshal(fields)
	if err != nil {
		return
	}
	c.incoming.offer(&jsonrpc.Request{Method: "notifications/progress", Params: params, Extra: c.req.Extra})
}

// fail answers a server request with an error in the client's place.
func (c *Conn) fail(number string, err error) {
	if sr := c.takeServerRequest(number); sr != nil {
		c.incoming.put(&jsonrpc.Response{ID: sr.id, Error: &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: err.Error()}})
	}
}

var (
	errNoResponse = errors.New("the client did not answer in time")
	errNoReader   = errors.New("the client does not listen: its stream was not read for 30 seconds")
)

// withdraw tells the client that a server request no longer matters. The SDK says so
// under its own number, often only after the response: then withdrawServerRequests
// has said it already.
func (c *Conn) withdraw(ctx context.Context, params json.RawMessage) error {
	var p struct {
		RequestID any    `json:"requestId"`
		Reason    string `json:"reason"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return sdkcompat.Rejected(err)
	}
	id, err := jsonrpc.MakeID(p.RequestID)
	if err != nil {
		return sdkcompat.Rejected(err)
	}
	// Taken and sent in one turn: whoever ends the stream in between would find
	// the server request gone, and the client would not hear of it.
	c.out.Lock()
	defer c.out.Unlock()
	number := c.numberOf(id)
	sr := c.takeServerRequest(number)
	if sr == nil {
		return nil
	}
	data, err := c.encodeWithdrawal(number, p.Reason)
	if err == nil && sr.detached {
		err = c.standalone(ctx, data)
	} else if err == nil {
		err = c.emitLocked(ctx, data)
	}
	if err != nil {
		return sdkcompat.Rejected(err)
	}
	return nil
}

// numberOf returns the number of the open server request that the SDK calls id.
func (c *Conn) numberOf(id jsonrpc.ID) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number, sr := range c.asked.open {
		if sr.id == id {
			return number
		}
	}
	return ""
}

// withdrawServerRequests withdraws what is still asked on the call's stream, which
// is about to end, or beside the response. c.out must be held.
func (c *Conn) withdrawServerRequests(ctx context.Context) {
	c.mu.Lock()
	var numbers []string
	for number, sr := range c.asked.open {
		if !sr.detached || c.shared() {
			numbers = append(numbers, number)
			delete(c.asked.open, number)
		}
	}
	c.mu.Unlock()
	for _, number := range numbers {
		data, err := c.encodeWithdrawal(number, "the request that asked has ended")
		if err == nil {
			err = c.emitLocked(ctx, data)
		}
		if err != nil {
			c.node.logger.Warn("server request not withdrawn", "error", err)
		}
		if errors.Is(err, errAway) {
			return // or the response would wait once more for each
		}
	}
}

func (c *Conn) encodeWithdrawal(number, reason string) ([]byte, error) {
	params, err := json.Marshal(map[string]string{"requestId": c.serverRequestName(number), "reason": reason})
	if err != nil {
		return nil, err
	}
	return jsonrpcmsg.EncodeRequest(nil, "notifications/cancelled", params)
}

// replaceProgressToken returns params with token in place of their progress
// token, and that token; if there is none nothing is replaced.
func replaceProgressToken(params, token json.RawMessage) (replaced, old json.RawMessage, err error) {
	var fields map[string]json.RawMessage
	if params == nil || json.Unmarshal(params, &fields) != nil {
		return params, nil, nil
	}
	var meta map[string]json.RawMessage
	if json.Unmarshal(fields["_meta"], &meta) != nil || meta["progressToken"] == nil {
		return params, nil, nil
	}
	old = meta["progressToken"]
	meta["progressToken"] = token
	if fields["_meta"], err = json.Marshal(meta); err != nil {
		return nil, nil, err
	}
	replaced, err = json.Marshal(fields)
	return replaced, old, err
}

// ForwardResponse forwards a client's response to the call that asked, on whichever
// instance it runs. It also returns nil if nobody waits for the response any
// more, which a client cannot know.
func (n *Node) ForwardResponse(ctx context.Context, session string, m *jsonrpcmsg.Message) error {
	var name string
	if json.Unmarshal(m.ID, &name) != nil {
		return nil
	}
	instance, ref, ok := parseServerRequestName(session, name)
	if !ok {
		return nil
	}
	arrived := responseArrived{ref, m.Result, false}
	if m.Error != nil {
		arrived = responseArrived{ref, m.Error, true}
	}
	if instance != n.id {
		_, err := n.send(ctx, instance, arrived)
		return err
	}
	if c := n.askingConn(ref); c != nil {
		c.receiveResponse(arrived)
	}
	return nil
}

// ForwardProgress forwards a client's progress notification to the call whose request
// it is about. It reports whether the token is one that the fleet has issued;
// if not, the notification is for the server's own handler.
func (n *Node) ForwardProgress(ctx context.Context, session string, params json.RawMessage) (ours bool, err error) {
	var p struct {
		Token string `json:"progressToken"`
	}
	if json.Unmarshal(params, &p) != nil {
		return false, nil
	}
	instance, ref, ok := parseServerRequestName(session, p.Token)
	if !ok {
		return false, nil
	}
	arrived := progressArrived{ref, params}
	if instance != n.id {
		_, err := n.send(ctx, instance, arrived)
		return true, err
	}
	if c := n.askingConn(ref); c != nil {
		c.receiveProgress(arrived)
	}
	return true, nil
}
