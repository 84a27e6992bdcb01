package eventlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// The log as it should be, in a few lines and without Redis.

type modelStream struct {
	writer, reader, call string
	base, seen           int64
	entries              []modelEntry
	ended                bool
}

type modelEntry struct{ Nonce, Data string }

func (s *modelStream) next() int64 { return s.base + int64(len(s.entries)) }

type logModel struct {
	opts    Options
	alive   bool
	streams map[string]*modelStream
}

// A reading is all that an operation of the log says.
type reading struct {
	Err      string
	Offset   int64
	Reader   string
	From     int64
	Next     int64
	Ended    bool
	Writer   string
	Previous string
	Call     string
	Entries  []modelEntry
}

var errModelOf = []error{sessionstore.ErrNotFound, ErrLost, ErrEnded, ErrFenced}

func failed(err error) reading {
	for _, known := range errModelOf {
		if errors.Is(err, known) {
			return reading{Err: known.Error()}
		}
	}
	return reading{Err: "unexpected: " + err.Error()}
}

func (m *logModel) open(stream, writer, reader, call, nonce string) reading {
	if !m.alive {
		return failed(sessionstore.ErrNotFound)
	}
	m.streams[stream] = &modelStream{writer: writer, reader: reader, call: call, entries: []modelEntry{{nonce, ""}}}
	return reading{}
}

func (m *logModel) append(stream string, a Append) reading {
	s := m.streams[stream]
	switch {
	case !m.alive:
		return failed(sessionstore.ErrNotFound)
	case s == nil && a.Writer != "":
		return failed(ErrLost)
	case s == nil:
		s = &modelStream{}
		m.streams[stream] = s
	}
	if a.Again {
		if i := slices.IndexFunc(s.entries, func(e modelEntry) bool { return e.Nonce == a.Nonce }); i >= 0 {
			return reading{Offset: s.base + int64(i), Reader: s.reader}
		}
	}
	switch {
	case s.ended:
		return failed(ErrEnded)
	case a.Writer != "" && a.Writer != s.writer:
		return failed(ErrFenced)
	}
	offset := s.next()
	if a.Nonce != "" {
		s.entries = append(s.entries, modelEntry{a.Nonce, string(a.Data)})
	}
	for len(s.entries) > 1 && (len(s.entries) > m.opts.MaxEvents || s.bytes() > m.opts.MaxEventBytes) {
		s.entries, s.base = s.entries[1:], s.base+1
	}
	s.ended = s.ended || a.End
	return reading{Offset: offset, Reader: s.reader}
}

func (s *modelStream) bytes() (n int) {
	for _, e := range s.entries {
		n += len(e.Nonce) + len(e.Data)
	}
	return n
}

func (m *logModel) attach(stream, reader string, after *ID) reading {
	s := m.streams[stream]
	switch {
	case !m.alive:
		return failed(sessionstore.ErrNotFound)
	case s == nil && after != nil:
		return failed(ErrLost)
	case s == nil:
		s = &modelStream{}
		m.streams[stream] = s
	}
	from := max(s.seen, s.base)
	if after != nil {
		i := after.Offset - s.base
		if i < 0 || i >= int64(len(s.entries)) || s.entries[i].Nonce != after.Nonce {
			return failed(ErrLost)
		}
		from = after.Offset + 1
	}
	r := reading{From: from, Next: s.next(), Ended: s.ended, Writer: s.writer, Previous: s.reader, Call: s.call}
	r.Entries = s.page(from)
	s.reader, s.seen = reader, from
	return r
}

func (s *modelStream) page(from int64) []modelEntry {
	rest := s.entries[min(from-s.base, int64(len(s.entries))):]
	return append([]modelEntry(nil), rest[:min(len(rest), readPage)]...)
}

func (m *logModel) read(stream string, from int64) reading {
	s := m.streams[stream]
	if s == nil || from < s.base || from > s.next() {
		return failed(ErrLost)
	}
	return reading{Next: s.next(), Ended: s.ended, Entries: s.page(from)}
}

func (m *logModel) detach(stream, reader string, seen int64) reading {
	if s := m.streams[stream]; s != nil && s.reader == reader {
		s.reader, s.seen = "", seen
	}
	return reading{}
}

// The same on a Redis.

func (r *rig) readAppend(t testing.TB, id StreamID, a Append) reading {
	e, reader, err := r.log.Append(t.Context(), id, a)
	if err != nil {
		return failed(err)
	}
	return reading{Offset: e.ID.Offset, Reader: reader}
}

func (r *rig) readAttach(t testing.TB, id StreamID, reader string, after *ID) reading {
	a, err := r.log.Attach(t.Context(), id, reader, after)
	if err != nil {
		return failed(err)
	}
	return reading{From: a.From, Next: a.Next, Ended: a.Ended, Writer: a.Writer, Previous: a.Previous, Call: string(a.Call), Entries: entriesOf(a.Events)}
}

func (r *rig) readRead(t testing.TB, id StreamID, from int64) reading {
	events, next, ended, err := r.log.Read(t.Context(), id, from)
	if err != nil {
		return failed(err)
	}
	return reading{Next: next, Ended: ended, Entries: entriesOf(events)}
}

func entriesOf(events []Event) (entries []modelEntry) {
	for _, e := range events {
		entries = append(entries, modelEntry{e.ID.Nonce, string(e.Data)})
	}
	return entries
}

// TestEveryRedisKeepsTheLogOfTheModel runs random programs on the model, on a
// miniredis and on a real Redis, and compares what each says at each step.
func TestEveryRedisKeepsTheLogOfTheModel(t *testing.T) {
	t.Parallel()
	opts := Options{MaxEvents: 6, MaxEventBytes: 120}
	rigs := []*rig{
		newRig(t, redistest.NewMiniredis(t).Client(t), opts),
		newRig(t, redistest.Real(t).Client(t), opts),
	}
	rapid.Check(t, func(rt *rapid.T) {
		sessions := make([]string, len(rigs))
		for i, r := range rigs {
			sessions[i] = beginSession(t, r.store)
		}
		p := &logProgram{t: t, rt: rt, rigs: rigs, sessions: sessions, streams: []string{Standalone},
			model: &logModel{opts: opts, alive: true, streams: map[string]*modelStream{}}}
		rt.Repeat(map[string]func(*rapid.T){
			"open": p.open, "append": p.append, "append more": p.append, "attach": p.attach, "read": p.read, "detach": p.detach,
			"lose": p.lose, "delete": p.delete,
		})
	})
}

type logProgram struct {
	t        *testing.T
	rt       *rapid.T
	rigs     []*rig
	sessions []string
	streams  []string
	nonces   []string
	model    *logModel
}

// on runs one operation everywhere and compares.
func (p *logProgram) on(rt *rapid.T, stream, what string, want reading, f func(r *rig, id StreamID) reading) {
	for i, r := range p.rigs {
		got := f(r, StreamID{p.sessions[i], stream})
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("%s on Redis %d, -model +got:\n%s", what, i, diff)
		}
	}
}

func (p *logProgram) stream(rt *rapid.T) string {
	return rapid.SampledFrom(p.streams).Draw(rt, "stream")
}

func (p *logProgram) open(rt *rapid.T) {
	stream := fmt.Sprintf("c%016d", len(p.streams))
	p.streams = append(p.streams, stream)
	reader := rapid.SampledFrom([]string{"", "w/1"}).Draw(rt, "reader")
	nonce := fmt.Sprintf("O%05d", len(p.streams))
	want := p.model.open(stream, "w", reader, `"q"`, nonce)
	p.on(rt, stream, "open", want, func(r *rig, id StreamID) reading {
		_, err := r.log.Open(p.t.Context(), Opening{Stream: id, Nonce: nonce, Writer: "w", Reader: reader, Call: json.RawMessage(`"q"`)})
		if err != nil {
			return failed(err)
		}
		return reading{}
	})
}

func (p *logProgram) append(rt *rapid.T) {
	stream := p.stream(rt)
	a := Append{Data: []byte(rapid.StringN(0, 40, 40).Draw(rt, "data")), Again: rapid.Bool().Draw(rt, "again")}
	if !IsStandalone(stream) {
		a.Writer = rapid.SampledFrom([]string{"w", "w", "w", "x"}).Draw(rt, "writer")
		a.End = rapid.IntRange(0, 5).Draw(rt, "end") == 0
	}
	if !a.End || rapid.Bool().Draw(rt, "with an event") {
		a.Nonce = fmt.Sprintf("T%05d", len(p.nonces))
		if a.Again && len(p.nonces) > 0 && rapid.Bool().Draw(rt, "an old one") {
			a.Nonce = rapid.SampledFrom(p.nonces).Draw(rt, "nonce")
		}
		p.nonces = append(p.nonces, a.Nonce)
	}
	a.Again = a.Again && a.Nonce != ""
	p.on(rt, stream, "append", p.model.append(stream, a), func(r *rig, id StreamID) reading { return r.readAppend(p.t, id, a) })
}

func (p *logProgram) attach(rt *rapid.T) {
	stream := p.stream(rt)
	reader := rapid.SampledFrom([]string{"w/1", "w/2", "v/1"}).Draw(rt, "reader")
	var after *ID
	if !IsStandalone(stream) || rapid.Bool().Draw(rt, "with an id") {
		after = &ID{Stream: stream, Offset: rapid.Int64Range(0, 12).Draw(rt, "offset"), Nonce: "WRONG0"}
		if s := p.model.streams[stream]; s != nil && len(s.entries) > 0 && rapid.IntRange(0, 3).Draw(rt, "of the log") > 0 {
			i := rapid.IntRange(0, len(s.entries)-1).Draw(rt, "entry")
			after.Offset, after.Nonce = s.base+int64(i), s.entries[i].Nonce
		}
	}
	p.on(rt, stream, "attach", p.model.attach(stream, reader, after), func(r *rig, id StreamID) reading { return r.readAttach(p.t, id, reader, after) })
}

func (p *logProgram) read(rt *rapid.T) {
	stream, from := p.stream(rt), rapid.Int64Range(0, 12).Draw(rt, "from")
	p.on(rt, stream, "read", p.model.read(stream, from), func(r *rig, id StreamID) reading { return r.readRead(p.t, id, from) })
}

func (p *logProgram) detach(rt *rapid.T) {
	stream := p.stream(rt)
	reader := rapid.SampledFrom([]string{"w/1", "w/2", "v/1"}).Draw(rt, "reader")
	var seen int64
	if s := p.model.streams[stream]; s != nil {
		seen = rapid.Int64Range(0, s.next()).Draw(rt, "seen")
	}
	p.on(rt, stream, "detach", p.model.detach(stream, reader, seen), func(r *rig, id StreamID) reading {
		if err := r.log.Detach(p.t.Context(), id, reader, seen, ""); err != nil {
			return failed(err)
		}
		return reading{}
	})
}

// lose drops the last event, as a failover may.
func (p *logProgram) lose(rt *rapid.T) {
	stream := p.stream(rt)
	s := p.model.streams[stream]
	if s == nil || len(s.entries) < 2 || s.ended {
		rt.Skip("nothing to lose")
	}
	s.entries = s.entries[:len(s.entries)-1]
	s.seen = min(s.seen, s.next())
	for i, r := range p.rigs {
		id := StreamID{p.sessions[i], stream}
		r.loseTail(p.t, id, 1)
		if err := r.do(p.t, "HSET", r.keys.Stream(id.Session, stream), "seen", fmt.Sprint(s.seen), "bytes", fmt.Sprint(s.bytes())).Error(); err != nil {
			rt.Fatal(err)
		}
	}
}

// delete ends the session, seldom: nothing happens after it.
func (p *logProgram) delete(rt *rapid.T) {
	if !p.model.alive || rapid.IntRange(0, 5).Draw(rt, "really") != 0 {
		rt.Skip("not now")
	}
	p.model.alive = false
	clear(p.model.streams)
	for i, r := range p.rigs {
		if err := r.store.Delete(p.t.Context(), p.sessions[i]); err != nil {
			rt.Fatal(err)
		}
	}
}
