// Package transport is being moved.
package transport
