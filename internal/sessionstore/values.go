package sessionstore

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// Values is one value per session, or per user of a protocol without sessions, as
// JSON. Package session gives it a type.
type Values struct {
	store *Store
	name  string
	err   error
}

// Names appear in Redis as fields next to those that begin with a colon.
var validName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// NewValues returns the values called name of all sessions in store. A name
// consists of up to 64 letters, digits and _ . -; with any other name, every
// method returns an error.
func NewValues(store *Store, name string) *Values {
	v := &Values{store: store, name: name}
	if !validName.MatchString(name) {
		v.err = fmt.Errorf("session value name %q: up to 64 letters, digits and _ . - are allowed", name)
	}
	return v
}

// Get returns a session's value and its version, or nil and 0 if it is not set.
// It reads from Redis, not from a cache.
func (v *Values) Get(ctx context.Context, id string) (json.RawMessage, int64, error) {
	reply, err := v.exec(ctx, id, valueGet, userValueGet, v.name)
	if err != nil {
		return nil, 0, err
	}
	if reply.IsNil() {
		return nil, 0, ErrNotFound
	}
	stored, err := reply.ToString()
	if err != nil {
		return nil, 0, v.Wrap(err)
	}
	if stored == "" {
		return nil, 0, nil
	}
	// What value_set.lua or uservalue_set.lua stored: version, a space and JSON.
	number, text, _ := strings.Cut(stored, " ")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return nil, 0, v.Wrap(err)
	}
	return json.RawMessage(text), version, nil
}

// CompareAndSet stores a session's value if it is at version old, and returns
// its new version. It fails with [ErrConflict] if the value is at another
// version, [ErrTooLarge] if it is larger than [Options.MaxValue] and
// [ErrTooMany] if the session already has [Options.MaxValues] others. After
// [ErrUnavailable] it may or may not have been stored.
func (v *Values) CompareAndSet(ctx context.Context, id string, old int64, value json.RawMessage) (int64, error) {
	if limit := v.store.opts.MaxValue; v.err == nil && len(value) > limit {
		return 0, v.Wrap(fmt.Errorf("%d bytes, %d are allowed: %w", len(value), limit, ErrTooLarge))
	}
	reply, err := v.exec(ctx, id, valueSet, userValueSet, v.name,
		strconv.FormatInt(old, 10), string(value), strconv.Itoa(v.store.opts.MaxValues))
	if err != nil {
		return 0, err
	}
	if reply.IsNil() {
		return 0, ErrNotFound
	}
	version, err := reply.AsInt64()
	switch {
	case err != nil:
		return 0, v.Wrap(err)
	case version == 0:
		return 0, ErrConflict
	case version < 0:
		return 0, v.Wrap(fmt.Errorf("%d values are allowed: %w", v.store.opts.MaxValues, ErrTooMany))
	}
	return version, nil
}

// Delete removes a session's value, as if it had never been set. After
// [ErrUnavailable] it may or may not have been removed.
func (v *Values) Delete(ctx context.Context, id string) error {
	reply, err := v.exec(ctx, id, valueDelete, userValueDelete, v.name)
	if err == nil && reply.IsNil() {
		err = ErrNotFound
	}
	return err
}

// exec runs the script for the values of a session, or that for those of a user. A
// session's live and end with its record; a user's have none, and live for a while
// after their last use. Ids of the one kind are none of the other, so nothing that is
// stored for a user is a session that has come back.
func (v *Values) exec(ctx context.Context, id string, ofSession, ofUser *redisx.Script, args ...string) (rueidis.RedisMessage, error) {
	keys, s := v.store.keys, v.store
	switch {
	case v.err != nil:
		return rueidis.RedisMessage{}, v.err
	case ValidID(id):
		return ofSession.Exec(ctx, s.rdb, []string{keys.Session(id), keys.Values(id)}, args...)
	case validUserID(id):
		return ofUser.Exec(ctx, s.rdb, []string{keys.Values(id)}, append(args, redisx.Millis(s.opts.SessionTTL))...)
	case strings.HasPrefix(id, requestPrefix):
		return rueidis.RedisMessage{}, v.Wrap(ErrNoUser)
	default:
		return rueidis.RedisMessage{}, ErrNotFound
	}
}

// Wrap adds the name of the values to an error.
func (v *Values) Wrap(err error) error { return fmt.Errorf("session value %s: %w", v.name, err) }
