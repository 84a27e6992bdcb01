package bus

import (
	"encoding/json"
	"slices"
)

// A Change is a message of the bus that clients hear of. It is encoded once for
// all of them: a change may go to thousands of streams.
type Change struct {
	URI  string // of the resource that was updated
	List List   // or the list that changed

	at Position

	// message is the notification for sessions. The one for a listener carries
	// the id of its subscription in _meta, between beforeID and afterID.
	message, beforeID, afterID []byte
}

func newUpdate(at Position, uri string) *Change {
	quoted, err := json.Marshal(uri)
	if err != nil {
		quoted = []byte(`""`) // a string is always JSON
	}
	c := &Change{at: at, URI: uri}
	c.encode("notifications/resources/updated", `"uri":`+string(quoted))
	return c
}

func newListChange(at Position, list List) *Change {
	c := &Change{at: at, List: list}
	c.encode(list.Method(), "")
	return c
}

// encode makes the notifications; param is the member of their params beside
// _meta, or empty if there is none.
func (c *Change) encode(method, param string) {
	start := `{"jsonrpc":"2.0","method":"` + method + `","params":{`
	const meta = `"_meta":{"io.modelcontextprotocol/subscriptionId":`
	c.message = []byte(start + param + `}}`)
	c.beforeID = []byte(start + meta)
	if param == "" {
		c.afterID = []byte(`}}}`)
	} else {
		c.afterID = []byte(`},` + param + `}}`)
	}
}

// Message returns the notification for a session. It must not be changed.
func (c *Change) Message() []byte { return c.message }

// MessageFor returns the notification for the listener with the raw id of its
// subscription.
func (c *Change) MessageFor(subscription json.RawMessage) []byte {
	return slices.Concat(c.beforeID, subscription, c.afterID)
}

// size is about how much memory c takes.
func (c *Change) size() int {
	return len(c.URI) + len(c.message) + len(c.beforeID) + len(c.afterID)
}
