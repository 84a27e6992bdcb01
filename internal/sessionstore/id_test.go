package sessionstore_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/mcpfleet/mcpfleet/internal/sessionstore"
)

func TestOnlyCanonicalUUIDsAreIDs(t *testing.T) {
	t.Parallel()
	for range 100 {
		if id := sessionstore.NewID(); !sessionstore.ValidID(id) {
			t.Errorf("NewID gave %q", id)
		}
	}
	const good = "0b6a4c5e-1f2d-4a3b-8c9d-0123456789ab"
	if !sessionstore.ValidID(good) {
		t.Errorf("%q is refused", good)
	}
	for _, id := range []string{
		"", "x", good[1:], good + "0", strings.ToUpper(good), "{" + good + "}", "urn:uuid:" + good,
		strings.ReplaceAll(good, "-", ""), strings.Replace(good, "-4", "-1", 1), strings.Replace(good, "-8", "-c", 1),
		strings.Replace(good, "0", "g", 1), strings.Replace(good, "0", "}", 1), strings.Replace(good, "-", "0", 1), uuid.Nil.String(),
	} {
		if sessionstore.ValidID(id) {
			t.Errorf("%q is accepted", id)
		}
	}
}

func FuzzValidID(f *testing.F) {
	f.Add(sessionstore.NewID())
	f.Add("{00000000-0000-4000-8000-000000000000}")
	f.Fuzz(func(t *testing.T, id string) {
		u, err := uuid.Parse(id)
		want := err == nil && u.String() == id && u.Version() == 4 && u.Variant() == uuid.RFC4122
		if sessionstore.ValidID(id) != want {
			t.Errorf("ValidID(%q) = %v", id, !want)
		}
	})
}
