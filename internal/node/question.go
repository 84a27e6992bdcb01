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

// A question is a request of the server that the client has yet to answer.
type question struct {
	id       jsonrpc.ID      // of the SDK
	token    json.RawMessage // the SDK's progress token, nil if there is none
	asked    time.Time
	read     time.Time // when somebody was last seen reading the stream it is on
	detached bool      // it is on the standalone stream, not on the call's
}

// questions are the open questions of one connection, by number. The SDK counts
// its requests on each connection from 1, so the fleet would be full of
// requests with the same id: each goes out under the name of its instance,
// connection and number, and the answer finds its way by that name.
type questions struct {
	last int
	open map[string]*question
}

// questionName is how a question, and its progress, is named to the client.
func (c *Conn) questionName(number string) string {
	return c.node.id + "." + c.id + "." + number
}

// parseQuestionName is the reverse of questionName.
func parseQuestionName(name string) (instance, conn, number string, ok bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 3 || !validInstance(parts[0]) {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
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
	if err := c.canAnswer(m.Method); err != nil {
		return sdkcompat.Rejected(err)
	}
	q := &question{id: m.ID, asked: time.Now(), read: time.Now(), detached: !speaks || !c.req.Message.IsCall() || c.aside()}
	number := c.addQuestion(q)
	if err := c.sendQuestion(ctx, q, number, m); err != nil {
		c.takeQuestion(number)
		return sdkcompat.Rejected(err)
	}
	return nil
}

func (c *Conn) sendQuestion(ctx context.Context, q *question, number string, m *jsonrpc.Request) error {
	name, err := json.Marshal(c.questionName(number))
	if err != nil {
		return err
	}
	params, token, err := replaceProgressToken(m.Params, name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	q.token = token // the question's name can be guessed: progress may be there before it is asked
	c.mu.Unlock()
	data, err := jsonrpcmsg.EncodeRequest(name, m.Method, params)
	if err != nil {
		return err
	}
	if q.detached {
		return c.standalone(ctx, data)
	}
	return c.emit(ctx, data)
}

// canAnswer fails if the client did not declare the capability for a question.
func (c *Conn) canAnswer(method string) error {
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

func (c *Conn) addQuestion(q *question) (number string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked.open == nil {
		c.asked.open = map[string]*question{}
	}
	c.asked.last++
	number = strconv.Itoa(c.asked.last)
	c.asked.open[number] = q
	return number
}

// takeQuestion returns an open question, which then is no longer open: of all
// answers the first counts.
func (c *Conn) takeQuestion(number string) *question {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.asked.open[number]
	delete(c.asked.open, number)
	return q
}

// receiveAnswer takes a client's answer to a question, or its progress.
func (c *Conn) receiveAnswer(kind, number string, data json.RawMessage, isError bool) {
	if kind == kindProgress {
		c.receiveProgress(number, data)
		return
	}
	q := c.takeQuestion(number)
	if q == nil {
		return // late, or a second answer
	}
	resp := &jsonrpc.Response{ID: q.id, Result: data}
	if isError {
		var e jsonrpc.Error
		if err := json.Unmarshal(data, &e); err != nil {
			e = jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "malformed error of the client"}
		}
		resp.Result, resp.Error = nil, &e
	}
	c.incoming.put(resp)
}

func (c *Conn) receiveProgress(number string, params json.RawMessage) {
	var token json.RawMessage
	c.mu.Lock()
	if q := c.asked.open[number]; q != nil {
		token = q.token
	}
	c.mu.Unlock()
	if token == nil {
		return
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(params, &fields) != nil {
		return
	}
	fields["progressToken"] = token
	params, err := json.Marshal(fields)
	if err != nil {
		return
	}
	c.incoming.offer(&jsonrpc.Request{Method: "notifications/progress", Params: params, Extra: c.req.Extra})
}

// fail answers a question with an error in the client's place.
func (c *Conn) fail(number string, err error) {
	if q := c.takeQuestion(number); q != nil {
		c.incoming.put(&jsonrpc.Response{ID: q.id, Error: &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: err.Error()}})
	}
}

var (
	errNoAnswer = errors.New("the client did not answer in time")
	errNoReader = errors.New("the client does not listen: its stream was not read for 30 seconds")
)

// withdraw tells the client that a question no longer matters. The SDK says so
// under its own number, often only after the response: then withdrawQuestions
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
	// the question gone, and the client would not hear of it.
	c.out.Lock()
	defer c.out.Unlock()
	number := c.numberOf(id)
	q := c.takeQuestion(number)
	if q == nil {
		return nil
	}
	data, err := c.encodeWithdrawal(number, p.Reason)
	if err == nil && q.detached {
		err = c.standalone(ctx, data)
	} else if err == nil {
		err = c.emitLocked(ctx, data)
	}
	if err != nil {
		return sdkcompat.Rejected(err)
	}
	return nil
}

// numberOf returns the number of the open question that the SDK calls id.
func (c *Conn) numberOf(id jsonrpc.ID) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number, q := range c.asked.open {
		if q.id == id {
			return number
		}
	}
	return ""
}

// withdrawQuestions withdraws what is still asked on the call's stream, which
// is about to end, or aside of the reply. c.out must be held.
func (c *Conn) withdrawQuestions(ctx context.Context) {
	c.mu.Lock()
	var numbers []string
	for number, q := range c.asked.open {
		if !q.detached || c.aside() {
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
			c.node.opts.Logger.Warn("question not withdrawn", "error", err)
		}
		if errors.Is(err, errAway) {
			return // or the response would wait once more for each
		}
	}
}

func (c *Conn) encodeWithdrawal(number, reason string) ([]byte, error) {
	params, err := json.Marshal(map[string]string{"requestId": c.questionName(number), "reason": reason})
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

// Reply forwards a client's response to the call that asked, on whichever
// instance it runs. It also returns nil if nobody waits for the response any
// more, which a client cannot know.
func (n *Node) Reply(ctx context.Context, session string, m *jsonrpcmsg.Message) error {
	var name string
	if json.Unmarshal(m.ID, &name) != nil {
		return nil
	}
	data, isError := m.Result, m.Error != nil
	if isError {
		data = m.Error
	}
	_, err := n.forward(ctx, session, kindReply, name, data, isError)
	return err
}

// Progress forwards a client's progress notification to the call whose request
// it is about. It reports whether the token is one that the fleet has issued;
// if not, the notification is for the server's own handler.
func (n *Node) Progress(ctx context.Context, session string, params json.RawMessage) (ours bool, err error) {
	var p struct {
		Token string `json:"progressToken"`
	}
	if json.Unmarshal(params, &p) != nil {
		return false, nil
	}
	return n.forward(ctx, session, kindProgress, p.Token, params, false)
}

func (n *Node) forward(ctx context.Context, session, kind, name string, data json.RawMessage, isError bool) (ours bool, err error) {
	instance, conn, number, ok := parseQuestionName(name)
	if !ok {
		return false, nil
	}
	if instance == n.id {
		if c := n.conn(conn); c != nil && c.session == session {
			c.receiveAnswer(kind, number, data, isError)
		}
		return true, nil
	}
	_, err = n.send(ctx, instance, "k", kind, "s", session, "c", conn, "q", number, "d", string(data), "e", flag(isError))
	return true, err
}
