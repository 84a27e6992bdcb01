package runner

import "sync"

// firsts are what an operator has been warned of, once each.
type firsts[T comparable] struct {
	mu     sync.Mutex // guards warned
	warned map[T]bool
}

// maxFirsts bounds them: a program may make up its servers' names.
const maxFirsts = 100

// first reports whether what is seen for the first time.
func (f *firsts[T]) first(what T) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.warned[what] || len(f.warned) >= maxFirsts {
		return false
	}
	if f.warned == nil {
		f.warned = map[T]bool{}
	}
	f.warned[what] = true
	return true
}

// has reports whether what has been seen.
func (f *firsts[T]) has(what T) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.warned[what]
}
