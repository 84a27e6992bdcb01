package node

import (
	"encoding/json"
	"strconv"
)

// The messages between a parked call and its front. They are all sent so that they are
// kept ([link.sendToKeep]).

// answersArrived brings answers to a parked call.
type answersArrived struct {
	Conn string
	Answering
}

const kindAnswersArrived = "answers"

func (m answersArrived) encode() []string {
	answers, _ := json.Marshal(m.Answers) // they have been decoded
	return envelope(kindAnswersArrived, "c", m.Conn, "r", m.Round, "w", m.Claim, "d", string(answers), "i", m.front.instance, "f", m.front.conn)
}

func decodeAnswersArrived(f map[string]string) (m answersArrived, err error) {
	m = answersArrived{Conn: f["c"], Answering: Answering{Round: f["r"], Claim: f["w"], front: front{f["i"], f["f"]}}}
	return m, json.Unmarshal([]byte(f["d"]), &m.Answers)
}

// frontTold brings what a call says to its front.
type frontTold struct {
	Conn   string
	From   front // the call
	Number int64 // how many messages there were before
	said
}

const kindFrontTold = "said"

func (m frontTold) encode() []string {
	return envelope(kindFrontTold, "c", m.Conn, "i", m.From.instance, "q", m.From.conn,
		"n", strconv.FormatInt(m.Number, 10), "t", string(m.kind), "m", m.method, "d", string(m.data))
}

func decodeFrontTold(f map[string]string) (m frontTold, err error) {
	m = frontTold{Conn: f["c"], From: front{f["i"], f["q"]}, said: said{kind: saidKind(f["t"]), method: f["m"], data: json.RawMessage(f["d"])}}
	m.Number, err = strconv.ParseInt(f["n"], 10, 64)
	return m, err
}

// frontTook tells a call how many of its messages its front's client has.
type frontTook struct {
	Call   string
	Front  front
	Number int64
}

const kindFrontTook = "took"

func (m frontTook) encode() []string {
	return envelope(kindFrontTook, "q", m.Call, "i", m.Front.instance, "c", m.Front.conn, "n", strconv.FormatInt(m.Number, 10))
}

func decodeFrontTook(f map[string]string) (m frontTook, err error) {
	m = frontTook{Call: f["q"], Front: front{f["i"], f["c"]}}
	m.Number, err = strconv.ParseInt(f["n"], 10, 64)
	return m, err
}

func (n *Node) receiveFrontTook(m frontTook) {
	c := n.conn(m.Call)
	if c == nil {
		return
	}
	if t := c.telling.Load(); t != nil && t.to == m.Front {
		t.take(m.Number)
	}
}

// frontGone tells a call that its front's client has gone.
type frontGone struct {
	Call  string
	Front front
}

const kindFrontGone = "left"

func (m frontGone) encode() []string {
	return envelope(kindFrontGone, "q", m.Call, "i", m.Front.instance, "c", m.Front.conn)
}

func decodeFrontGone(f map[string]string) frontGone {
	return frontGone{Call: f["q"], Front: front{f["i"], f["c"]}}
}
