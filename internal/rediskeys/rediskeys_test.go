package rediskeys

import (
	"strings"
	"testing"
)

func space(t *testing.T, prefix string) Space {
	t.Helper()
	s, err := New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// all returns every key of a session, an instance and a user.
func all(s Space, session, stream, instance, owner string) (ofSession, others []string) {
	return []string{
			s.Session(session), s.Values(session), s.OpenStreams(session), s.EndedStreams(session),
			s.Stream(session, stream), s.Log(session, stream),
			s.Stream(session, Standalone), s.Log(session, Standalone),
		}, []string{
			s.Inbox(instance), s.Bus(), s.OwnerSessions(owner),
		}
}

func TestKeysOfASessionShareASlotAndNothingElse(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, prefix := range []string{"a", "a:b"} {
		for _, session := range []string{"1", "2"} {
			ofSession, others := all(space(t, prefix), session, "s}{x", "i"+session, "o"+session)
			for _, key := range ofSession {
				if seen[key] {
					t.Errorf("key %s stands for two things", key)
				}
				seen[key] = true
				if !strings.HasPrefix(key, prefix+":") || tag(key) != session {
					t.Errorf("key %s has hash tag %q, want %q", key, tag(key), session)
				}
			}
			for _, key := range others {
				if !strings.HasPrefix(key, prefix+":") || tag(key) == session {
					t.Errorf("key %s", key)
				}
			}
		}
	}
}

// tag returns what Redis Cluster hashes of a key: what is between the first {
// and the next }.
func tag(key string) string {
	_, rest, _ := strings.Cut(key, "{")
	tag, _, _ := strings.Cut(rest, "}")
	return tag
}

func TestUsersAreNotNamed(t *testing.T) {
	t.Parallel()
	s := space(t, "")
	key := s.OwnerSessions("alice@example.com")
	if strings.Contains(key, "alice") || key != s.OwnerSessions("alice@example.com") || key == s.OwnerSessions("bob") {
		t.Errorf("key %s", key)
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	if got := space(t, "").Prefix(); got != DefaultPrefix {
		t.Errorf("default prefix %q", got)
	}
	for _, prefix := range []string{"{a}", "a{", "a b", "ä", "a\n", "*", "a/b"} {
		if _, err := New(prefix); err == nil {
			t.Errorf("prefix %q is accepted", prefix)
		}
	}
}
