package node

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/eventlog"
	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// monitor notices, until ctx ends, what no message tells: writers that died,
// server requests that nobody answers, calls that nobody waits for. One ticker
// serves all of an instance's streams and calls.
func (n *Node) monitor(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for round := 0; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.checkStreams(ctx, n.callReaders())
			due := n.dueReaders(round)
			n.checkReaders(ctx, due)
			n.checkSubscriptions(ctx, due)
			n.checkRelays(ctx)
			n.checkFronts(ctx)
			n.checkCalls(ctx)
		}
	}
}

// callReaders returns the readers here of unfinished call streams, except those
// that a call here writes: that it runs is known without Redis.
func (n *Node) callReaders() (readers []*Reader) {
	for _, r := range n.allReaders() {
		if !eventlog.IsStandalone(r.stream.Stream) && !r.isEnded() && !n.writes(r.stream) {
			readers = append(readers, r)
		}
	}
	return readers
}

// checkNew checks the stream of a reader that has just begun: if clients'
// connections are cut again and again, none of them is there for the next check.
func (n *Node) checkNew(r *Reader) {
	if !n.writes(r.stream) {
		n.checkStreams(context.Background(), []*Reader{r}) // apart from the request that began it; each call to Redis is bounded
	}
}

// checkStreams finds those of the readers' streams whose writer has died, or
// whose last events have not arrived. While Redis cannot be reached, it finds
// nothing: the living cannot be told from the dead.
func (n *Node) checkStreams(ctx context.Context, readers []*Reader) {
	checked, err := n.streamStates(ctx, readers)
	var alive map[string]bool
	if err == nil {
		alive, err = n.livingWriters(ctx, readers)
	}
	for i := 0; i < len(readers) && err == nil; i++ {
		err = n.checkStream(ctx, readers[i], checked[i], alive)
	}
	if err != nil {
		n.logger.Warn("streams not checked", "error", err)
	}
}

// A checkedStream is a stream that a reader here follows, as Redis knows it.
type checkedStream struct {
	eventlog.State
	from int64 // what the reader had before Redis was asked
}

func (n *Node) streamStates(ctx context.Context, readers []*Reader) ([]checkedStream, error) {
	streams := make([]eventlog.StreamID, len(readers))
	checked := make([]checkedStream, len(readers))
	for i, r := range readers {
		streams[i], checked[i].from = r.stream, r.nextOffset()
	}
	states, err := n.log.States(ctx, streams)
	for i := range states {
		checked[i].State = states[i]
	}
	return checked, err
}

// livingWriters asks which of the instances that write the readers' streams are
// alive.
func (n *Node) livingWriters(ctx context.Context, readers []*Reader) (map[string]bool, error) {
	var instances []string
	for _, r := range readers {
		instances = append(instances, r.writtenBy())
	}
	return n.living(ctx, instances)
}

func (n *Node) checkStream(ctx context.Context, r *Reader, s checkedStream, alive map[string]bool) error {
	if reads, err := n.reads(ctx, r, s); err != nil || !reads && s.Exists {
		return err
	}
	gone := s.Writer == "" // the stream, or its state alone, evicted
	if s.Ended || gone {
		r.readLogSoon()
		return nil
	}
	r.compareEnd(s.from, s.Next)
	// A stream that this instance writes gets here only if no call writes it any
	// more: then nothing will end it, as if its writer had died.
	if alive[s.Writer] && s.Writer != n.id {
		if !s.WriterMissed {
			return nil
		}
		return n.log.WriterFound(ctx, r.stream)
	}
	if !n.canJudge() {
		return nil
	}
	missing, err := n.log.WriterMissing(ctx, r.stream, s.Writer, missingRemembered)
	if err == nil && missing >= missingIsDead {
		n.endDead(ctx, r, s.Writer)
	}
	return err
}

// canJudge reports whether an instance whose inbox is not there may be taken for
// dead. This instance's own renewals must have worked: what kept it from Redis may
// have kept the others, whose inboxes then have expired although they live. And
// they must have worked for a while: after an outage, instances need not come back
// at the same moment.
func (n *Node) canJudge() bool {
	return time.Since(time.Unix(0, n.renewed.Load())) <= checkEvery &&
		time.Since(time.Unix(0, n.steady.Load())) >= inboxTTL
}

const (
	// missingIsDead is for how long a writer must have been missing to be taken for
	// dead: the time between two checks, less by what they may be late.
	missingIsDead = checkEvery - 500*time.Millisecond
	// missingRemembered is for how long it counts that a writer was missing:
	// connections may be short, and each checks the writer when it begins.
	missingRemembered = 10 * checkEvery
)

// endDead ends the stream of a dead writer with an error in its place.
func (n *Node) endDead(ctx context.Context, r *Reader, writer string) {
	a := eventlog.Append{Writer: writer, Nonce: eventlog.NewNonce(), Data: jsonrpcmsg.EncodeError(r.callID(), errWriterDied), End: true}
	e, reader, err := n.log.Append(ctx, r.stream, a)
	if errors.Is(err, redisx.ErrUnavailable) {
		return // the next check tries again
	}
	if err != nil {
		r.readLogSoon() // it ended by itself, or somebody else ended it, or it is gone: the log knows
		return
	}
	n.logger.Warn("ended the stream of a dead instance", "instance", writer)
	n.deliver(ctx, r.stream.Session, reader, e, true)
}

// living asks which instances have an inbox.
func (n *Node) living(ctx context.Context, instances []string) (map[string]bool, error) {
	alive := map[string]bool{}
	var others []string
	for _, id := range instances {
		if _, ok := alive[id]; ok || id == "" {
			continue
		}
		alive[id] = id == n.id
		if id != n.id {
			others = append(others, id)
		}
	}
	if len(others) == 0 {
		return alive, nil
	}
	cmds := make(rueidis.Commands, 0, len(others))
	for _, id := range others {
		cmds = append(cmds, n.rdb.B().Exists().Key(n.keys.Inbox(id)).Build())
	}
	for i, result := range n.rdb.DoMulti(ctx, cmds...) {
		there, err := result.AsInt64()
		if err != nil {
			return nil, redisx.Unavailable("look for instances", err)
		}
		alive[others[i]] = there == 1
	}
	return alive, nil
}

// checkCalls fails server requests that wait too long, and stops calls that
// nobody has waited for too long.
func (n *Node) checkCalls(ctx context.Context) {
	var waiting []*Conn
	var streams []eventlog.StreamID
	for _, c := range n.allConns() {
		if since := c.parkedSince(); !since.IsZero() && time.Since(since) >= n.opts.AnswerWithin {
			n.background(c.expire)
		}
		switch {
		case !c.waits():
		case c.req.Stateless:
			c.check(time.Now(), false, false) // nobody can come back for it
		default:
			// The call's own stream, and the standalone one for what was asked
			// outside of it.
			waiting = append(waiting, c)
			streams = append(streams, c.streamID(), eventlog.StandaloneOf(c.session))
		}
	}
	if len(waiting) == 0 {
		return
	}
	read, err := n.areRead(ctx, streams)
	for i, c := range waiting {
		// If Redis does not answer, the clients are taken to be there.
		own, standalone := err != nil, err != nil
		if err == nil {
			own, standalone = read[2*i], read[2*i+1]
		}
		c.check(time.Now(), own, standalone)
	}
}

// areRead reports for each stream whether a living connection reads it.
func (n *Node) areRead(ctx context.Context, streams []eventlog.StreamID) ([]bool, error) {
	states, err := n.log.States(ctx, streams)
	if err != nil {
		return nil, err
	}
	var instances []string
	for _, s := range states {
		instance, _ := splitRef(s.Reader)
		instances = append(instances, instance)
	}
	alive, err := n.living(ctx, instances)
	if err != nil {
		return nil, err
	}
	read := make([]bool, len(streams))
	for i, s := range states {
		instance, reader := splitRef(s.Reader)
		read[i] = alive[instance] && (instance != n.id || n.reader(reader) != nil)
	}
	return read, nil
}

// waits reports whether time is running for the call: it has open server
// requests, or its client has gone.
func (c *Conn) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked.open) > 0 || !c.left.IsZero() || c.req.ResponseMode == ResponseRelayed
}

// check fails what has waited too long; own and standalone say whether somebody
// reads the call's stream and the session's standalone one.
func (c *Conn) check(now time.Time, own, standalone bool) {
	c.mu.Lock()
	failed := c.asked.overdue(now, own, standalone, c.node.opts.AnswerWithin)
	c.updateLeft(now, own, standalone)
	abandoned := !c.left.IsZero() && now.Sub(c.left) >= c.node.opts.RunDetached
	c.mu.Unlock()
	for number, err := range failed {
		c.fail(number, err)
	}
	if abandoned {
		c.node.background(func() { c.abandon(errAbandoned) })
	}
}

// updateLeft notes since when the client has been gone, if it is. c.mu must be held.
func (c *Conn) updateLeft(now time.Time, own, standalone bool) {
	switch {
	case own && !c.left.IsZero():
		c.left = now // the client has come back on another connection
	case c.req.ResponseMode != ResponseRelayed:
	case standalone:
		c.left = time.Time{}
	case c.left.IsZero():
		c.left = now // the stream's instance has died
	}
}
