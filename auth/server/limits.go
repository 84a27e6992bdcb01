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
// Many people may share an address, so what ends well does not count where it is
// people that send requests and not programs.
type Limits struct {
	// Authorize bounds the authorization requests that end in no login: a login
	// gives back the count of the request that it began with. Apart from these it
	// bounds the decisions on the consent page that are refused or repeated. Of one
	// user's logins, as many as the rate allows give their counts back.
	Authorize Rate
	// Callback bounds the returns from the upstream that end in no login.
	Callback Rate
	// Token and Register bound all requests.
	Token, Register Rate
	// Revoke bounds the requests that revoke nothing.
	Revoke Rate
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

// Names of limits, which are parts of names in Redis.
const (
	authorizeLimit  = "authorize"
	consentLimit    = "consent"
	callbackLimit   = "callback"
	tokenLimit      = "token"
	revokeLimit     = "revoke"
	registerLimit   = "register"
	introspectLimit = "introspect"
	failureLimit    = "failure"
	newClientLimit  = "new-client"
	loginLimit      = "login" // of a user, not of an address
)

// giveBack gives back a request that was counted: it has turned out to cost
// nothing. If that fails the request stays counted, which is no reason to fail it.
func (s *Server) giveBack(ctx context.Context, count limit.Count, rate Rate) bool {
	// Not with the request: a browser that has gone is to cost nothing either.
	err := s.limiter.GiveBack(context.WithoutCancel(ctx), count, limit.Rate(rate))
	if err != nil {
		s.logger.WarnContext(ctx, "a request stays counted that ended well", "error", err)
	}
	return err == nil
}

// giveBackLogin gives back what was counted of a login that has ended well: the
// callback, and the authorization request, which may have come from another
// address. A user who logs in again and again gets no more back than the rate
// allows, so that what logins leave behind is bounded as well.
func (s *Server) giveBackLogin(r *http.Request, begun limit.Count, subject string) {
	ctx, limits := context.WithoutCancel(r.Context()), s.opts.Limits
	verdict, err := s.limiter.Take(ctx, loginLimit, subject, limit.Rate(limits.Authorize))
	if err != nil || !verdict.Allowed {
		return
	}
	if s.giveBack(ctx, s.limiter.Count(callbackLimit, s.address(r)), limits.Callback) && begun != "" { // an older instance stores none
		s.giveBack(ctx, begun, limits.Authorize)
	}
}

// address returns the client address that a request is counted for.
func (s *Server) address(r *http.Request) string {
	if s.opts.TrustedProxies == 0 {
		s.warnOfProxy(r)
	}
	return limit.ClientAddress(r, s.opts.TrustedProxies)
}

// warnOfProxy warns, once, of a proxy that the server was not told of. It does not
// believe in it: clients can send these headers as well.
func (s *Server) warnOfProxy(r *http.Request) {
	for _, name := range []string{"X-Forwarded-For", "Forwarded"} {
		if len(r.Header[name]) == 0 {
			continue
		}
		s.proxies.Do(func() {
			s.logger.WarnContext(r.Context(), "requests arrive with a header that proxies add, but Options.TrustedProxies is 0: behind a proxy "+
				"all users share the rate limits of its address. Set TrustedProxies (in the demo TRUSTED_PROXIES) to the number of proxies "+
				"that append to X-Forwarded-For. If there is none, a client made the header up, and 0 is right",
				"header", name, "peer", r.RemoteAddr)
		})
		return
	}
}

// allowNewClient counts a registration, over all addresses.
func (s *Server) allowNewClient(ctx context.Context) error {
	return allow(s.limiter.Take(ctx, newClientLimit, "", limit.Rate(s.opts.Limits.NewClients)))
}
