package server

import "time"

// A Rate bounds requests: as many as Requests at once, and no more than that in
// every Per on average. The zero Rate does not bound.
type Rate struct {
	Requests int
	Per      time.Duration
}

// Limits bound the requests of one client address, over all instances.
type Limits struct {
	Authorize, Token, Register, Revoke, Introspect, Callback Rate
}

// DefaultLimits returns the limits of a server without Options.Limits.
func DefaultLimits() *Limits {
	return &Limits{
		Authorize:  Rate{100, 15 * time.Minute},
		Token:      Rate{300, 5 * time.Second},
		Register:   Rate{60, time.Minute},
		Revoke:     Rate{50, 15 * time.Minute},
		Introspect: Rate{300, 5 * time.Second},
		Callback:   Rate{100, 15 * time.Minute},
	}
}
