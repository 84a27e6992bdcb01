package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/limit"
)

// A Rate is a rate limit: Requests at once, and on average no more than
// Requests per Per. The zero Rate does not limit.
type Rate struct {
	Requests int
	Per      time.Duration
}

// Limits bound the requests of one client address, counted over all instances.
type Limits struct {
	Authorize, Token, Register, Revoke, Callback Rate
	// Introspect applies only to callers that are none of
	// [Options.ResourceServers].
	Introspect Rate
	// Failures bounds failed authentications as one client or resource server
	// from one address. It does not affect other addresses, other clients or
	// public clients.
	Failures Rate
	// NewClients bounds the registrations of all addresses together, and so how
	// many registered clients there are: with [Options.ClientTTL] as Per, twice
	// Requests, and those that are in use for longer.
	NewClients Rate
}

// DefaultLimits returns the limits that apply if [Options.Limits] is nil.
func DefaultLimits() *Limits {
	return &Limits{
		Authorize:  Rate{100, 15 * time.Minute},
		Token:      Rate{300, 5 * time.Second},
		Register:   Rate{60, time.Minute},
		Revoke:     Rate{50, 15 * time.Minute},
		Introspect: Rate{300, 5 * time.Second},
		Callback:   Rate{100, 15 * time.Minute},
		Failures:   Rate{20, time.Minute},
		NewClients: Rate{100_000, 30 * 24 * time.Hour},
	}
}

// A tooManyError is the error of a request over a rate limit. It names the time
// after which the request may be repeated.
type tooManyError struct{ after time.Duration }

func (e *tooManyError) Error() string { return "too many requests; see Retry-After" }

// retryAfter returns the value of a Retry-After header.
func (e *tooManyError) retryAfter() string {
	return strconv.FormatInt(max(1, int64((e.after+time.Second-1)/time.Second)), 10)
}

// allow fails with a [*tooManyError] unless the verdict allows the request.
func allow(v limit.Verdict, err error) error {
	if err == nil && !v.Allowed {
		err = &tooManyError{v.Reset}
	}
	return err
}

// guarded runs prove, which checks the proof of who sent the request, unless that
// failed too often. Failures count for the address and the id together: nobody
// can lock out a client at another address, and an id that does not exist is
// counted like one that does.
func (s *Server) guarded(r *http.Request, id string, prove func() error) error {
	who := s.address(r) + " " + id
	rate := limit.Rate(s.opts.Limits.Failures)
	if err := allow(s.limiter.Peek(r.Context(), failureLimit, who, rate)); err != nil {
		return err
	}
	err := prove()
	if isInvalidClient(err) {
		if _, err := s.limiter.Take(r.Context(), failureLimit, who, rate); err != nil {
			return err
		}
	}
	return err
}

// failureLimit and newClientLimit are names of limits that no endpoint has.
const (
	failureLimit   = "failure"
	newClientLimit = "new-client"
)

// allowNewClient counts a registration, over all addresses.
func (s *Server) allowNewClient(ctx context.Context) error {
	return allow(s.limiter.Take(ctx, newClientLimit, "", limit.Rate(s.opts.Limits.NewClients)))
}
