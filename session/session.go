// Package session is being moved.
package session

import "github.com/mcpfleet/mcpfleet/internal/sessionstore"

type (
	Store         = sessionstore.Store
	Options       = sessionstore.Options
	Record        = sessionstore.Record
	Values[T any] = sessionstore.Values[T]
)

var (
	NewStore       = sessionstore.NewStore
	ErrNotFound    = sessionstore.ErrNotFound
	ErrUnavailable = sessionstore.ErrUnavailable
)

func NewValues[T any](s *Store, name string) *Values[T] { return sessionstore.NewValues[T](s, name) }
