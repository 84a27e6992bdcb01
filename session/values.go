package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Values is one value of type T per session: a counter, a cart, the state of a
// dialogue. It takes the place of a map from sessions to T in the process,
// which an instance that did not serve the earlier requests would find empty.
// A tool's handler knows the id of its session from req.Session.ID().
//
// A value is stored as JSON and lives as long as its session. It is safe for
// concurrent use, here and on all instances.
//
// Every method fails with [ErrNotFound] if the session is gone and with
// [ErrUnavailable] if Redis is; see [Store].
type Values[T any] struct {
	store *Store
	name  string
	err   error
}

// A Version names one state of one value of one session. It is 0 while the
// value is not set, and a value is never at the same version again after it
// was changed.
type Version int64

// Names appear in Redis as fields next to those that begin with a colon.
var validName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// NewValues returns the values called name of all sessions in store. A name
// has up to 64 letters, digits and _ . -; with another every method returns an
// error that says so. Whoever uses the same name shares the values, and must
// use a type with the same JSON.
func NewValues[T any](store *Store, name string) *Values[T] {
	v := &Values[T]{store: store, name: name}
	if !validName.MatchString(name) {
		v.err = fmt.Errorf("session value name %q: up to 64 letters, digits and _ . - are allowed", name)
	}
	return v
}

// Get returns a session's value and its version: the zero T and 0 if it was
// never set. Get asks Redis, so it sees every change made before.
func (v *Values[T]) Get(ctx context.Context, id string) (T, Version, error) {
	var zero T
	keys, err := v.keys(id)
	if err != nil {
		return zero, 0, err
	}
	reply, err := valueGet.Exec(ctx, v.store.rdb, keys, v.name)
	if err != nil {
		return zero, 0, err
	}
	if reply.IsNil() {
		return zero, 0, ErrNotFound
	}
	stored, err := reply.ToString()
	if err != nil {
		return zero, 0, v.wrap(err)
	}
	if stored == "" {
		return zero, 0, nil
	}
	return v.decode(stored)
}

// decode reads what value_set.lua stored: version, a space and JSON.
func (v *Values[T]) decode(stored string) (T, Version, error) {
	var value, zero T
	number, text, _ := strings.Cut(stored, " ")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return zero, 0, v.wrap(err)
	}
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return zero, 0, v.wrap(err) // not value: Unmarshal may have filled a part
	}
	return value, Version(version), nil
}

// encode returns value as JSON, if it is small enough.
func (v *Values[T]) encode(value T) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", v.wrap(err)
	}
	if limit := v.store.opts.MaxValue; len(text) > limit {
		return "", v.wrap(fmt.Errorf("%d bytes, %d are allowed: %w", len(text), limit, ErrTooLarge))
	}
	return string(text), nil
}

// CompareAndSet stores a session's value if it is at version old, and returns
// the version it has then. It fails with [ErrConflict] if the value is at
// another version, [ErrTooLarge] if its JSON is larger than
// [Options.MaxValue] and [ErrTooMany] if the session has [Options.MaxValues]
// others.
//
// After [ErrUnavailable] the outcome is unknown: the value may or may not be
// stored. Calling again with the same arguments is safe, it does not store
// twice; but ErrConflict then may mean that the first call did it, which only
// the value itself can tell. (Where [Values.Delete] is used, version 0 comes
// back, and with it the chance that a repeated call stores a second time.)
func (v *Values[T]) CompareAndSet(ctx context.Context, id string, old Version, value T) (Version, error) {
	keys, err := v.keys(id)
	if err != nil {
		return 0, err
	}
	text, err := v.encode(value)
	if err != nil {
		return 0, err
	}
	reply, err := valueSet.Exec(ctx, v.store.rdb, keys, v.name,
		strconv.FormatInt(int64(old), 10), text, strconv.Itoa(v.store.opts.MaxValues))
	if err != nil {
		return 0, err
	}
	if reply.IsNil() {
		return 0, ErrNotFound
	}
	version, err := reply.AsInt64()
	switch {
	case err != nil:
		return 0, v.wrap(err)
	case version == 0:
		return 0, ErrConflict
	case version < 0:
		return 0, v.wrap(fmt.Errorf("%d values are allowed: %w", v.store.opts.MaxValues, ErrTooMany))
	}
	return Version(version), nil
}

// updateTries bounds the conflicts that Update sits out.
const updateTries = 64

// Update changes a session's value to what f makes of it, and returns that. f
// runs again when another change came first, so it must do nothing else; its
// error ends Update and is returned as it is. Update gives up with
// [ErrConflict] after 64 tries, and when ctx ends. After [ErrUnavailable] the
// change may or may not have been made.
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
			return zero, v.wrap(err)
		}
	}
	return zero, v.wrap(ErrConflict)
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

// Delete makes a session's value as if it was never set. After
// [ErrUnavailable] it may or may not have.
func (v *Values[T]) Delete(ctx context.Context, id string) error {
	keys, err := v.keys(id)
	if err != nil {
		return err
	}
	reply, err := valueDelete.Exec(ctx, v.store.rdb, keys, v.name)
	if err == nil && reply.IsNil() {
		err = ErrNotFound
	}
	return err
}

// keys returns the keys of the scripts, if there can be a value.
func (v *Values[T]) keys(id string) ([]string, error) {
	if v.err != nil {
		return nil, v.err
	}
	if !ValidID(id) {
		return nil, ErrNotFound
	}
	return []string{v.store.keys.Session(id), v.store.keys.Values(id)}, nil
}

func (v *Values[T]) wrap(err error) error { return fmt.Errorf("session value %s: %w", v.name, err) }
