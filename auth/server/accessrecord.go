package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// An accessRecord is what Redis has of an access token and of its grant.
type accessRecord struct {
	grant grant
	// known says that the token was issued, was not revoked, and has not been
	// forgotten since it expired. The fields that follow are zero if it is not.
	known  bool
	access access
	// expires is when the token expires, accepted until when new requests may come
	// with it: less, if it was replaced.
	expires, accepted time.Time
	// covered is until when the grant's newest access token is valid, and ends when
	// the grant ends unless it is refreshed. Both are zero in the record of an older
	// instance.
	covered, ends time.Time
}

// access returns the record of a token that is accepted now. It fails with
// errNoGrant if the token is not, but asks Redis before it does.
func (s *grants) access(ctx context.Context, token credential) (accessRecord, error) {
	rec, err := s.cachedRecord(ctx, token)
	if errors.Is(err, errNoGrant) || err == nil && !rec.known {
		rec, err = s.freshRecord(ctx, token)
	}
	if err == nil && (!rec.known || !time.Now().Before(rec.accepted)) {
		return rec, errNoGrant
	}
	return rec, err
}

// standing returns the record of a token that was accepted before, whatever has
// become of it. It asks Redis before it fails with errNoGrant, if there is no grant
// any more, or says that no token of the grant is valid any more.
func (s *grants) standing(ctx context.Context, token credential) (accessRecord, error) {
	rec, err := s.cachedRecord(ctx, token)
	if errors.Is(err, errNoGrant) || err == nil && !rec.covered.IsZero() && !time.Now().Before(rec.covered) {
		return s.freshRecord(ctx, token)
	}
	return rec, err
}

// cachedRecord reads the record from the client-side cache if it is there, and
// stale by cacheTTL at most. Whatever is asked about a token is the same command, so
// that one copy answers it.
func (s *grants) cachedRecord(ctx context.Context, token credential) (accessRecord, error) {
	cmd := s.rdb.B().Hmget().Key(s.keys.Grant(token.grant)).Field(recordFields(token)...).Cache().ToStaticTTL()
	return decodeAccessRecord(s.rdb.DoCache(ctx, cmd, s.cacheTTL))
}

func (s *grants) freshRecord(ctx context.Context, token credential) (accessRecord, error) {
	cmd := s.rdb.B().Hmget().Key(s.keys.Grant(token.grant)).Field(recordFields(token)...).Build()
	return decodeAccessRecord(s.rdb.Do(ctx, cmd))
}

func recordFields(token credential) []string {
	hash := token.hash()
	return []string{"data", "at:" + hash, "old:" + hash, "lives"}
}

func decodeAccessRecord(reply redisx.Result) (rec accessRecord, err error) {
	values, err := reply.ToArray()
	if err != nil {
		return rec, redisx.Unavailable("load access token", err)
	}
	if len(values) != 4 || values[0].IsNil() {
		return rec, errNoGrant
	}
	texts := make([]string, len(values))
	for i, v := range values {
		if v.IsNil() {
			continue
		}
		if texts[i], err = v.ToString(); err != nil {
			return rec, fmt.Errorf("load access token: %w", err)
		}
	}
	if rec.grant, err = decodeGrant([]byte(texts[0])); err != nil {
		return rec, err
	}
	if err = rec.decodeToken(texts[1], texts[2]); err != nil {
		return rec, err
	}
	if texts[3] != "" {
		times := strings.Split(texts[3], "|")
		if len(times) != 2 {
			return rec, fmt.Errorf("decode grant: lives %q", texts[3])
		}
		if rec.covered, err = parseMillis(times[0]); err == nil {
			rec.ends, err = parseMillis(times[1])
		}
	}
	return rec, err
}

// decodeToken decodes the fields of a token: one is that of a token in use, the
// other that of one that was replaced, and one of them at least is empty.
func (rec *accessRecord) decodeToken(current, replaced string) error {
	text, expires := current, 0
	if text == "" {
		text, expires = replaced, 3
	}
	if text == "" {
		return nil
	}
	parts := strings.Split(text, "|")
	if len(parts) != expires+1 && len(parts) != 3 {
		return fmt.Errorf("decode access token: %q does not have the form of one", text)
	}
	var err error
	if rec.accepted, err = parseMillis(parts[0]); err == nil {
		rec.expires, err = parseMillis(parts[expires])
	}
	rec.known, rec.access = true, access{Scopes: strings.Fields(parts[1]), Resources: strings.Fields(parts[2])}
	return err
}

func parseMillis(text string) (time.Time, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("decode access token: %q is not a time", text)
	}
	return time.UnixMilli(ms), nil
}
