package mcp

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/mcpfleet/mcpfleet/internal/jsonrpcmsg"
	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// refuse responds to a POST whose body is refused because of err. If it was to be
// the response to a request of the server, that request fails: whoever asked would
// wait for a response that the client believes to have sent.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, m *jsonrpcmsg.Message, body *postBody, err error) {
	if failed := h.failServerRequests(r, body, err); failed != nil {
		err = failed
	}
	h.failMessage(w, r, m, err)
}

// failServerRequests fails the server requests that a refused body answers. It returns an
// error if it cannot.
func (h *Handler) failServerRequests(r *http.Request, body *postBody, reason error) error {
	if body == nil {
		return nil // nothing of it has been read
	}
	rec, err := body.session(r)
	if err != nil {
		return nil // nobody's responses
	}
	if large := new(http.MaxBytesError); errors.As(reason, &large) {
		reason = errors.New("it is too large")
	}
	for _, m := range jsonrpcmsg.RefusedResponses(body.data, body.rest(h.opts.MaxBody), reason) {
		if err := h.node.ForwardResponse(r.Context(), rec.ID, m); err != nil {
			return err
		}
	}
	return nil
}

// A postBody is what has been read of the body of a POST.
type postBody struct {
	data    []byte
	arrived *lastByte // nil if data is all of it
	session findSession
	done    func() // gives back the memory that counts as the body's
}

// release says that the body is not needed any more. It may be nil.
func (b *postBody) release() {
	if b != nil {
		b.done()
	}
}

// A findSession returns the session of a request.
type findSession func(*http.Request) (sessionstore.Record, error)

// rest returns what follows data: as much as a client may have to send until it gets
// to the id, which some send last.
func (b *postBody) rest(maxBody int64) io.Reader {
	if b.arrived == nil {
		return nil
	}
	return b.arrived.again(3 * maxBody)
}

// A lastByte is a body that remembers its last byte: [http.MaxBytesReader] reads one
// more than it returns.
type lastByte struct {
	io.ReadCloser
	last [1]byte
}

// again returns the last byte, and at most most bytes of what follows it.
func (b *lastByte) again(most int64) io.Reader {
	return io.MultiReader(bytes.NewReader(b.last[:]), io.LimitReader(b.ReadCloser, most))
}

func (b *lastByte) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.last[0] = p[n-1]
	}
	return n, err
}
