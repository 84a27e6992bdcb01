package sessionstore

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestForgottenIDsAreRememberedForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newForgotten(time.Minute)
		if f.has("a") {
			t.Error("has what was never added")
		}
		f.add("a")
		time.Sleep(30 * time.Second)
		f.add("b")
		f.add("a") // its time starts again
		time.Sleep(time.Minute - 1)
		if !f.has("a") || !f.has("b") || f.has("c") {
			t.Errorf("a %v, b %v, c %v", f.has("a"), f.has("b"), f.has("c"))
		}
		time.Sleep(time.Nanosecond)
		if f.has("a") || f.has("b") {
			t.Error("remembered too long")
		}
		f.add("c")
		if len(f.until) != 1 || len(f.queue) != 1 {
			t.Errorf("%d ids and %d in the queue after all but one expired", len(f.until), len(f.queue))
		}
	})
}

func TestTooManyForgottenIDsMeanAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newForgotten(time.Minute)
		for i := range maxForgotten {
			f.add(strconv.Itoa(i))
		}
		if f.has("other") {
			t.Error("has what was never added")
		}
		time.Sleep(30 * time.Second)
		f.add("one too many")
		if !f.has("one too many") || len(f.queue) > maxForgotten {
			t.Errorf("forgot the last of too many; the queue has %d", len(f.queue))
		}
		time.Sleep(time.Minute - 1)
		if !f.has("one too many") {
			t.Error("forgot too early")
		}
		time.Sleep(time.Nanosecond)
		if f.has("one too many") {
			t.Error("remembered too long")
		}
		f.add("next")
		if !f.has("next") || f.has("other") || len(f.queue) != 1 {
			t.Error("does not recover from too many")
		}
	})
}
