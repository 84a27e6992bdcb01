package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/limit"
	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// errNoAuthSession says that there is no authorization session that the request
// could continue: it has expired, was continued already, or belongs to another
// browser.
var errNoAuthSession = errors.New("no such authorization is waiting in this browser")

// An authSession is an authorization session: what the server remembers of an
// authorization request from the consent page to the end of the login, when it
// becomes a grant. Its JSON is what Redis stores.
type authSession struct {
	Version   int      `json:"v"`
	Client    string   `json:"client"`
	Redirect  string   `json:"redirect"`
	State     string   `json:"state"`
	Challenge string   `json:"challenge"`
	Scopes    []string `json:"scopes"`
	Resources []string `json:"resources"`
	// Counted is what the request was counted under, and is given back when the
	// login has ended well.
	Counted limit.Count `json:"counted"`
}

const authSessionVersion = 1

// A browserBinding ties an authorization session to the browser that began it,
// which has one secret in a cookie and another in the form of the consent page.
// A decision needs both, so no other site can make it for the user, and no other
// browser can continue the session.
type browserBinding struct {
	session      string // its id
	cookie, form string
}

// newState returns a state for the upstream, which begins with the session's id.
func (b browserBinding) newState() string { return b.session + "." + random(secretBytes) }

// parseState returns the id of the session that a state was made for.
func parseState(state string) (session string, ok bool) {
	session, value, _ := strings.Cut(state, ".")
	return session, isRandom(session, grantIDBytes) && isRandom(value, secretBytes)
}

// authSessions stores the authorization sessions in Redis. It is safe for
// concurrent use.
type authSessions struct {
	rdb  redisx.Client
	keys rediskeys.Space
	ttl  time.Duration
}

// create stores a session and returns its binding to the browser that began it.
func (s *authSessions) create(ctx context.Context, session authSession) (browserBinding, error) {
	session.Version = authSessionVersion
	data, err := json.Marshal(session)
	if err != nil {
		return browserBinding{}, err
	}
	b := browserBinding{session: random(grantIDBytes), cookie: random(secretBytes), form: random(secretBytes)}
	reply, err := authSessionCreate.Exec(ctx, s.rdb, []string{s.keys.AuthSession(b.session)},
		string(data), HashSecret(b.cookie), HashSecret(b.form), millis(s.ttl))
	if err != nil {
		return browserBinding{}, err
	}
	return b, expectOne("create authorization session", reply, errors.New("there is one with this id"))
}

// load returns a session without checking which browser asks for it. It fails
// with errNoAuthSession.
func (s *authSessions) load(ctx context.Context, id string) (authSession, error) {
	if !isRandom(id, grantIDBytes) {
		return authSession{}, errNoAuthSession
	}
	data, err := s.rdb.Do(ctx, s.rdb.B().Hget().Key(s.keys.AuthSession(id)).Field("data").Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return authSession{}, errNoAuthSession
	}
	if err != nil {
		return authSession{}, redisx.Unavailable("load authorization session", err)
	}
	return decodeAuthSession(data)
}

// approve records the user's consent, with the state and the data of the login
// that follows, and returns where that login is: if the user has consented
// before, with the same form, it says that this is a repetition, and where the
// first login is. It fails with errNoAuthSession.
func (s *authSessions) approve(ctx context.Context, b browserBinding, state string, location *url.URL, upstream []byte) (to *url.URL, repeated bool, err error) {
	offered := string(seal(b.cookie, b.session+" login", []byte(location.String()))) // never the same twice
	reply, err := authSessionApprove.Exec(ctx, s.rdb, []string{s.keys.AuthSession(b.session)},
		HashSecret(b.cookie), HashSecret(b.form), HashSecret(state), string(seal(b.cookie, b.session, upstream)), offered)
	if err != nil {
		return nil, false, err
	}
	if reply.IsNil() {
		return nil, false, errNoAuthSession
	}
	sealed, err := reply.AsBytes()
	if err != nil {
		return nil, false, fmt.Errorf("approve authorization session: unexpected reply: %w", err)
	}
	first, err := unseal(b.cookie, b.session+" login", sealed)
	if err != nil {
		return nil, false, fmt.Errorf("approve authorization session: %w", err)
	}
	to, err = url.Parse(string(first))
	return to, string(sealed) != offered, err
}

// deny ends a session because the user declined. It fails with errNoAuthSession.
func (s *authSessions) deny(ctx context.Context, b browserBinding) error {
	reply, err := authSessionDeny.Exec(ctx, s.rdb, []string{s.keys.AuthSession(b.session)}, HashSecret(b.cookie), HashSecret(b.form))
	if err != nil {
		return err
	}
	return expectOne("deny authorization session", reply, errNoAuthSession)
}

// finish ends a session because the login has ended, and returns it with the
// upstream's data. It fails with errNoAuthSession.
func (s *authSessions) finish(ctx context.Context, id, cookie, state string) (authSession, []byte, error) {
	reply, err := authSessionFinish.Exec(ctx, s.rdb, []string{s.keys.AuthSession(id)}, HashSecret(cookie), HashSecret(state))
	if err != nil {
		return authSession{}, nil, err
	}
	if reply.IsNil() {
		return authSession{}, nil, errNoAuthSession
	}
	values, err := reply.AsStrSlice()
	if err != nil || len(values) != 2 {
		return authSession{}, nil, fmt.Errorf("finish authorization session: unexpected reply: %w", err)
	}
	session, err := decodeAuthSession([]byte(values[0]))
	if err != nil {
		return authSession{}, nil, err
	}
	upstream, err := unseal(cookie, id, []byte(values[1]))
	return session, upstream, err
}

func decodeAuthSession(data []byte) (authSession, error) {
	var session authSession
	if err := json.Unmarshal(data, &session); err != nil {
		return authSession{}, fmt.Errorf("decode authorization session: %w", err)
	}
	if session.Version != authSessionVersion {
		return authSession{}, fmt.Errorf("decode authorization session: version %d is not known", session.Version)
	}
	return session, nil
}
