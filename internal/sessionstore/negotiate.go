package sessionstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// An Agreement is what a client and a server have agreed on in initialize.
type Agreement struct {
	// InitializeParams are the params of the initialize request as sent.
	InitializeParams json.RawMessage
	// ProtocolVersion is the version that was negotiated. It is required.
	ProtocolVersion string
	// ServerCapabilities are the capabilities of the initialize result.
	ServerCapabilities json.RawMessage
	// Position is where the fleet's bus was before initialize.
	Position string
}

// Negotiate stores the outcome of initialize for a session that was created
// without a protocol version, as sessions of the HTTP+SSE transport are. It
// fails with [ErrNegotiated] if there already is one, and with [ErrTooLarge] if
// the params are larger than allowed. After [ErrUnavailable] the outcome may
// have been stored.
func (s *Store) Negotiate(ctx context.Context, id string, a Agreement) error {
	if a.ProtocolVersion == "" {
		return errors.New("negotiate session: the protocol version is empty")
	}
	if n := len(a.InitializeParams); n > s.opts.MaxInitialize {
		return fmt.Errorf("negotiate session: initialize params of %d bytes, %d are allowed: %w", n, s.opts.MaxInitialize, ErrTooLarge)
	}
	reply, err := s.update(ctx, sessionNegotiate, id,
		fields[fieldParams], string(a.InitializeParams),
		fields[fieldVersion], a.ProtocolVersion,
		fields[fieldServer], string(a.ServerCapabilities),
		fields[fieldPosition], a.Position)
	if err != nil {
		return err
	}
	if n, err := reply.AsInt64(); err != nil || n == 0 {
		return ErrNegotiated
	}
	return nil
}
