package session

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

// Values is one value of type T per session or user: a counter, a cart, the state of a
// dialogue. It replaces a map from session ids to T in the process, in which an
// instance would not find what other instances stored. A tool gets the id of
// its session from req.Session.ID().
//
// A value is stored as JSON and lives as long as its session. Values is safe
// for concurrent use, in this process and by all instances.
//
// A client of protocol 2026-07-28 has no session. There req.Session.ID() is the id
// of the user, the same for all that this user does with servers of one name: all
// conversations of the user share the values, which live for the fleet's SessionTTL
// after any of them was last used. A request without authentication has an id of its
// own, with which every method fails with [ErrNoUser].
//
// Every method fails with [ErrNotFound] if there is no such session and with
// [ErrUnavailable] if Redis is unavailable; see [Store].
type Values[T any] struct {
	stored *sessionstore.Values
}

// A Version identifies one state of one value of one session. It is 0 while the
// value is not set; no other version is ever used again after a change.
type Version int64

// NewValues returns the values called name of all sessions in store. A name
// consists of up to 64 letters, digits and _ . -; with any other name, every
// method returns an error. All users of the same name share the values and must
// use types with the same JSON.
func NewValues[T any](store *Store, name string) *Values[T] {
	return &Values[T]{sessionstore.NewValues(store.internal(), name)}
}

// Get returns a session's value and its version, or the zero T and 0 if it is
// not set. It reads from Redis, not from a cache, so it sees every earlier
// change.
func (v *Values[T]) Get(ctx context.Context, id string) (T, Version, error) {
	var value, zero T
	text, version, err := v.stored.Get(ctx, id)
	if err != nil || version == 0 {
		return zero, 0, err
	}
	if err := json.Unmarshal(text, &value); err != nil {
		return zero, 0, v.stored.Wrap(err) // not value: Unmarshal may have filled a part
	}
	return value, Version(version), nil
}

// CompareAndSet stores a session's value if it is at version old, and returns
// its new version. It fails with [ErrConflict] if the value is at another
// version, [ErrTooLarge] if its JSON is larger than [Options.MaxValue] and
// [ErrTooMany] if the session already has [Options.MaxValues] others. A store
// that was not made by [NewStore] has the defaults of these bounds.
//
// After [ErrUnavailable] the outcome is unknown: the value may or may not have
// been stored. Calling again with the same arguments is safe and does not store
// twice, but ErrConflict may then mean that the first call succeeded; only the
// value itself can tell. (If [Values.Delete] is used, version 0 can return, and
// a repeated call may store a second time.)
func (v *Values[T]) CompareAndSet(ctx context.Context, id string, old Version, value T) (Version, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return 0, v.stored.Wrap(err)
	}
	version, err := v.stored.CompareAndSet(ctx, id, int64(old), text)
	return Version(version), err
}

// updateTries bounds the conflicts that Update sits out.
const updateTries = 64

// Update sets a session's value to the result of f, which is given the current
// value, and returns it. f is called again if another change came first, so it
// must have no side effects; an error of f ends Update and is returned
// unchanged. Update gives up with [ErrConflict] after 64 tries, and when ctx
// ends. After [ErrUnavailable] the change may or may not have been made.
func (v *Values[T]) Update(ctx context.Context, id string, f func(T) (T, error)) (T, error) {
	var zero T
	for try := range updateTries {
		old, version, err := v.Get(ctx, id)
		if err != nil {
			return zero, err
		}
		value, err := f(old)
		if err != nil {
			return zero, err
		}
		_, err = v.CompareAndSet(ctx, id, version, value)
		if err == nil {
			return value, nil
		}
		if !errors.Is(err, ErrConflict) {
			return zero, err
		}
		if err := pause(ctx, try); err != nil {
			return zero, v.stored.Wrap(err)
		}
	}
	return zero, v.stored.Wrap(ErrConflict)
}

// pause lets the others of a crowd go first: up to 1, 2, 4 ... 64 ms.
func pause(ctx context.Context, try int) error {
	timer := time.NewTimer(rand.N(time.Millisecond << min(try, 6)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Delete removes a session's value, as if it had never been set. After
// [ErrUnavailable] it may or may not have been removed.
func (v *Values[T]) Delete(ctx context.Context, id string) error {
	return v.stored.Delete(ctx, id)
}
