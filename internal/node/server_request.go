package node

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sdkcompat"
)

// A serverRequest is a request of the server that the client has yet to answer.
type serverRequest struct {
	id       jsonrpc.ID      // of the SDK
	token    json.RawMessage // the SDK's progress token, nil if there is none
	asked    time.Time
	read     time.Time // when somebody was last seen reading the stream it is on
	detached bool      // it is on the standalone stream, not on the call's
}

// serverRequests are the open server requests of one connection, by number. The
// SDK counts its requests on each connection from 1, so the fleet would be full
// of requests with the same id: each goes out under the name of its instance,
// connection and number, and the response finds its way by that name.
type serverRequests struct {
	last int
	open map[string]*serverRequest
}

// unreadTTL is how long a server request waits on a stream that nobody reads.
const unreadTTL = 30 * time.Second

// overdue returns the errors of the server requests that have waited too long, by
// number; own and standalone say whether somebody reads the call's stream and the
// session's standalone one.
func (rs *serverRequests) overdue(now time.Time, own, standalone bool, answerWithin time.Duration) map[string]error {
	overdue := map[string]error{}
	for number, sr := range rs.open {
		if own && !sr.detached || standalone && sr.detached {
			sr.read = now
		}
		switch {
		case now.Sub(sr.asked) >= answerWithin:
			overdue[number] = errNoResponse
		case now.Sub(sr.read) >= unreadTTL:
			overdue[number] = errNoReader
		}
	}
	return overdue
}

// serverRequestName is how a server request, and its progress, is named to the
// client.
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

// sendServerRequest sends a request of the server to the client.
func (c *Conn) sendServerRequest(ctx context.Context, m *jsonrpc.Request) error {
	fromHandler := c.isHandler(ctx)
	if m.Method == "ping" && (!fromHandler || c.req.Stateless) {
		// It is ServerOptions.KeepAlive's. What that is for, noticing a client that is
		// gone, does not apply to the connection of one request, which it would end
		// in the middle of a long call. Or it is a handler's, in a protocol without
		// pings: the request that it serves is open.
		c.incoming.put(&jsonrpc.Response{ID: m.ID, Result: json.RawMessage("{}")})
		return nil
	}
	switch e := c.lacks(m); {
	case e != nil && c.req.Stateless: // the handler may return it: it is of this protocol
		c.incoming.put(&jsonrpc.Response{ID: m.ID, Error: e})
		return nil
	case e != nil:
		return sdkcompat.Rejected(errors.New(e.Message))
	case c.req.Stateless:
		if err := c.ask(ctx, asInputRequest(m)); err != nil {
			return sdkcompat.Rejected(err)
		}
		return nil
	}
	sr := &serverRequest{id: m.ID, asked: time.Now(), read: time.Now(), detached: !fromHandler || !c.req.Message.IsCall() || c.usesStandalone()}
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
	params, token, err := sdkcompat.ReplaceToken(m.Params, name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	sr.token = token // its name can be guessed: progress may be there before the request is sent
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

// takeServerRequest returns an open server request, which then is no longer open:
// of all responses the first counts.
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

// withdraw tells the client that a server request no longer matters. The SDK's
// notification names the request by the SDK's own number, and comes often only
// after the response: then withdrawServerRequests has told the client already.
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
	if c.req.Stateless {
		c.unask(id)
		return nil
	}
	// Taken and sent in one turn: if the stream ended in between, its end would
	// not withdraw the server request any more, and the client would not be told.
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

// openServerRequests returns the numbers of the open server requests.
func (c *Conn) openServerRequests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.asked.open))
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

// withdrawServerRequests withdraws the server requests that are open on the call's
// stream, which is about to end, or that were sent on the standalone stream in its
// place. c.out must be held.
func (c *Conn) withdrawServerRequests(ctx context.Context) {
	c.mu.Lock()
	var numbers []string
	for number, sr := range c.asked.open {
		if !sr.detached || c.usesStandalone() {
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
		if errors.Is(err, errStoreUnavailable) {
			return // each of the others would delay the response as long
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

// ForwardResponse forwards a client's response to the call that asked, on whichever
// instance that runs, and which finds it when it is back if it is away. It blocks for
// at most one call to Redis, and fails with [sessionstore.ErrUnavailable] if that does
// or too many responses wait for the instance. If nobody waits for the response any
// more, which a client cannot know, it returns nil.
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
		_, err := n.sendToKeep(ctx, instance, arrived)
		return err
	}
	if c := n.askingConn(ref); c != nil {
		c.receiveResponse(arrived)
	}
	return nil
}

// ForwardProgress forwards a client's progress notification to the call whose
// request it is about, as [Node.ForwardResponse] does a response. It reports
// whether the token is one that the fleet has issued; if not, the notification is
// for the server's own handler.
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
		_, err := n.sendToKeep(ctx, instance, arrived) // not before its response, nor after it
		return true, err
	}
	if c := n.askingConn(ref); c != nil {
		c.receiveProgress(arrived)
	}
	return true, nil
}
