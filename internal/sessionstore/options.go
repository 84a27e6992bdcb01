package sessionstore

import (
	"cmp"
	"fmt"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// Options adjust a [Store]. The zero value is valid. All instances of a fleet
// should use the same.
type Options struct {
	// Prefix is the first part of every key. If empty, it is "mcp". Letters,
	// digits and _ . : - are allowed.
	Prefix string
	// TTL is how long an unused session lives. If zero, it is 5 minutes.
	// Values under 1 second are an error.
	TTL time.Duration
	// MaxLifetime ends a session this long after its creation, even if it is in
	// use. If zero, a session in use does not end. Values under 1 second are an
	// error.
	MaxLifetime time.Duration
	// MaxPerOwner bounds the sessions of one owner; sessions without an owner
	// are not counted. The bound is approximate: a crash between the two steps
	// of a creation leaves a place taken until the TTL has passed. If zero,
	// there is no bound and nothing is counted.
	MaxPerOwner int
	// CacheTTL bounds how stale a record from [Store.Load] may be. If zero, it
	// is 5 seconds. Values under 1 millisecond are an error. To read without a
	// cache, give the client rueidis.ClientOption.DisableCache.
	CacheTTL time.Duration
	// MaxParams bounds the initialize params in bytes. If zero, it is 16 KiB.
	MaxParams int
	// MaxValue bounds one of a session's [Values], as JSON, in bytes. If zero,
	// it is 64 KiB.
	MaxValue int
	// MaxValues bounds the number of a session's [Values]. If zero, it is 64.
	MaxValues int
	// MaxSubscriptions bounds the resources that a session is subscribed to. If
	// zero, it is 1,000.
	MaxSubscriptions int
	// Timeout bounds one call to Redis. If zero, it is 2 seconds.
	Timeout time.Duration
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	d.TTL = cmp.Or(d.TTL, 5*time.Minute)
	d.CacheTTL = cmp.Or(d.CacheTTL, 5*time.Second)
	d.MaxParams = cmp.Or(d.MaxParams, 16<<10)
	d.MaxValue = cmp.Or(d.MaxValue, 64<<10)
	d.MaxValues = cmp.Or(d.MaxValues, 64)
	d.MaxSubscriptions = cmp.Or(d.MaxSubscriptions, 1000)
	d.Timeout = cmp.Or(d.Timeout, redisx.DefaultTimeout)
	return d
}

// validate is called after withDefaults. Prefix is checked where it is used.
func (o *Options) validate() error {
	for _, f := range []struct {
		name     string
		is, from time.Duration
	}{
		{"TTL", o.TTL, time.Second},
		{"CacheTTL", o.CacheTTL, time.Millisecond},
		{"Timeout", o.Timeout, time.Millisecond},
	} {
		if f.is < f.from {
			return fmt.Errorf("Options.%s is %v, under %v", f.name, f.is, f.from)
		}
	}
	if o.MaxLifetime != 0 && o.MaxLifetime < time.Second {
		return fmt.Errorf("Options.MaxLifetime is %v, under %v", o.MaxLifetime, time.Second)
	}
	for _, f := range []struct {
		name string
		is   int
	}{
		{"MaxPerOwner", o.MaxPerOwner}, {"MaxParams", o.MaxParams}, {"MaxValue", o.MaxValue}, {"MaxValues", o.MaxValues},
		{"MaxSubscriptions", o.MaxSubscriptions},
	} {
		if f.is < 0 {
			return fmt.Errorf("Options.%s is %d, under 0", f.name, f.is)
		}
	}
	return nil
}
