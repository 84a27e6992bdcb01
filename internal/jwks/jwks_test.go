package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestAKeyThatWasTakenBackIsNotUsedWhenNobodyAskedForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := publicKey(t, "1"), publicKey(t, "2")
		var (
			s         Set
			published = []jose.JSONWebKey{first}
			away      error
		)
		fetch := func(context.Context) ([]jose.JSONWebKey, error) {
			time.Sleep(time.Second)
			return published, away
		}
		find := func(kid string, wantFound bool, wantWait time.Duration) {
			t.Helper()
			start := time.Now()
			found, err := s.Find(t.Context(), jose.Header{Algorithm: "ES256", KeyID: kid}, fetch)
			if (len(found) > 0) != wantFound || err != nil || time.Since(start) != wantWait {
				t.Errorf("key %s: %d found, error %v, after %v", kid, len(found), err, time.Since(start))
			}
		}
		settle := func() { // until no fetch is running
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		find("1", true, time.Second)
		// Somebody asks all the time: nobody waits.
		for range 3 {
			time.Sleep(fresh + time.Second)
			find("1", true, 0)
			settle()
		}
		settle()
		published = []jose.JSONWebKey{second}
		time.Sleep(24 * time.Hour)
		find("1", false, time.Second)
		find("2", true, 0)
		// While they cannot be fetched the known ones go on, and only one waits.
		settle()
		away = errors.New("away")
		time.Sleep(24 * time.Hour)
		find("2", true, time.Second)
		for range 3 {
			time.Sleep(time.Hour)
			find("2", true, 0)
			settle()
		}
	})
}

func publicKey(t *testing.T, id string) jose.JSONWebKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key.Public(), KeyID: id, Algorithm: "ES256"}
}
