package bus

import "encoding/json"

// EnvelopeVersion is the version of the messages between instances, on the bus
// and in inboxes. An instance ignores versions and kinds that it does not know,
// so that a fleet can be upgraded one instance at a time.
const EnvelopeVersion = "1"

// A Message is what one instance tells all others. Each kind is a type below,
// with its form in Redis: encode returns an entry's fields and values, decode
// takes them back. Neither may change while instances of both sides run.
type Message interface {
	encode() []string
}

func envelope(kind string, fields ...string) []string {
	return append([]string{"v", EnvelopeVersion, "k", kind}, fields...)
}

// ResourceUpdated says that a resource was updated.
type ResourceUpdated struct{ URI string }

const kindResourceUpdated = "updated"

func (m ResourceUpdated) encode() []string { return envelope(kindResourceUpdated, "u", m.URI) }

func decodeResourceUpdated(f map[string]string) ResourceUpdated { return ResourceUpdated{URI: f["u"]} }

// ListChanged says that a list has changed.
type ListChanged struct{ List List }

const kindListChanged = "changed"

func (m ListChanged) encode() []string { return envelope(kindListChanged, "l", string(m.List)) }

func decodeListChanged(f map[string]string) ListChanged { return ListChanged{List: List(f["l"])} }

// SessionEnded says that a session has ended: its streams and calls end on every
// instance, and none serves it from its cache any more.
type SessionEnded struct{ Session string }

const kindSessionEnded = "end"

func (m SessionEnded) encode() []string { return envelope(kindSessionEnded, "s", m.Session) }

func decodeSessionEnded(f map[string]string) SessionEnded { return SessionEnded{Session: f["s"]} }

// CallCancelled says that the client of a session has cancelled its request with
// the raw id ID.
type CallCancelled struct {
	Session string
	ID      json.RawMessage
}

const kindCallCancelled = "cancel"

func (m CallCancelled) encode() []string {
	return envelope(kindCallCancelled, "s", m.Session, "id", string(m.ID))
}

func decodeCallCancelled(f map[string]string) CallCancelled {
	return CallCancelled{Session: f["s"], ID: json.RawMessage(f["id"])}
}

// endLost marks the place where the bus has lost its end: what was before may not
// be complete.
type endLost struct{}

const kindEndLost = "lost"

func (endLost) encode() []string { return envelope(kindEndLost) }

// hello says nothing: an instance that joins publishes it so that there is
// something to read, whose place is a position.
type hello struct{}

const kindHello = "hello"

func (hello) encode() []string { return envelope(kindHello) }
