package eventlog

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// A State is what Redis knows of a stream.
type State struct {
	Exists bool  // the stream is there
	Next   int64 // offset after the last event in the log
	Ended  bool
	Writer string
	Reader string
	// Attached says that some connection has attached to the stream: none has to one
	// that was lost and that an append has begun anew.
	Attached bool
	// WriterMissed says that some reader did not find the writer alive.
	WriterMissed bool
}

// States returns what Redis knows of the streams; all zero for one that is not
// there.
func (l *Log) States(ctx context.Context, streams []StreamID) ([]State, error) {
	states := make([]State, len(streams))
	if len(streams) == 0 {
		return states, nil
	}
	cmds := make(rueidis.Commands, 0, len(streams))
	for _, s := range streams {
		cmds = append(cmds, l.rdb.B().Hmget().Key(l.keys.Stream(s.Session, s.Stream)).Field("next", "ended", "writer", "reader", "missed", "attached").Build())
	}
	for i, result := range l.rdb.DoMulti(ctx, cmds...) {
		fields, err := result.ToArray()
		if err != nil {
			return nil, redisx.Unavailable("read the states of streams", err)
		}
		s := &states[i]
		s.Exists = !fields[0].IsNil()
		s.Next, _ = fields[0].AsInt64() // nil without the stream
		ended, _ := fields[1].ToString()
		s.Ended = ended == "1"
		s.Writer, _ = fields[2].ToString()
		s.Reader, _ = fields[3].ToString()
		s.WriterMissed = !fields[4].IsNil()
		s.Attached = !fields[5].IsNil()
	}
	return states, nil
}

var (
	//go:embed lua/stream_miss.lua
	streamMissLua string

	streamMiss = redisx.NewRepeatableScript("note a missing writer", streamMissLua)
)

// WriterMissing notes that a stream's writer was not found alive, and returns
// for how long it has been missing. An earlier note counts for at most
// remembered.
func (l *Log) WriterMissing(ctx context.Context, id StreamID, writer string, remembered time.Duration) (time.Duration, error) {
	msg, err := streamMiss.Exec(ctx, l.rdb, []string{l.keys.Stream(id.Session, id.Stream)}, writer, redisx.Millis(remembered))
	if err != nil {
		return 0, err
	}
	ms, err := msg.AsInt64()
	return time.Duration(ms) * time.Millisecond, err
}

// WriterFound takes back the note that a stream's writer was not found alive.
func (l *Log) WriterFound(ctx context.Context, id StreamID) error {
	cmd := l.rdb.B().Hdel().Key(l.keys.Stream(id.Session, id.Stream)).Field("missed").Build()
	if err := l.rdb.Do(ctx, cmd).Error(); err != nil {
		return redisx.Unavailable("note a found writer", err)
	}
	return nil
}
