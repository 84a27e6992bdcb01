package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// errNoGrant is returned for a code or token that is unknown or not valid any
// more.
var errNoGrant = errors.New("no such grant")

// errReused says that a credential was used once too often, and that the grant
// was therefore deleted with all its tokens.
var errReused = errors.New("the code or refresh token was used before; the grant is revoked")

// A grant is what a user allowed a client. It never changes. Its code and tokens
// are in the same hash, where scripts change them.
type grant struct {
	Version   int      `json:"v"`
	Client    string   `json:"client"`
	Subject   string   `json:"sub"`
	Scopes    []string `json:"scopes"`
	Resources []string `json:"resources"`
	Redirect  string   `json:"redirect,omitempty"`
	Challenge string   `json:"challenge,omitempty"`
	Issued    int64    `json:"iat"` // Unix seconds
}

const grantVersion = 1

// An access is what one access token allows, within its grant.
type access struct {
	Scopes    []string
	Resources []string
}

// String returns the access as Redis stores it: scopes and resource identifiers
// contain neither spaces nor bars.
func (a access) String() string {
	return strings.Join(a.Scopes, " ") + "|" + strings.Join(a.Resources, " ")
}

// grants stores the grants in Redis. It is safe for concurrent use.
type grants struct {
	rdb      redisx.Client
	keys     rediskeys.Space
	cacheTTL time.Duration
	codeTTL  time.Duration
	// accessTTL and refreshTTL are the lives of tokens.
	accessTTL, refreshTTL time.Duration
	// grace is how long a replaced refresh token gets its successor again, negative if
	// it may never be used again; accessGrace is how long replaced access tokens are
	// accepted.
	grace, accessGrace time.Duration
	// maxAge is how long a grant lives at most; zero means as long as it is used.
	maxAge time.Duration
	// redeemer and refresher are scripts that tests replace.
	redeemer, refresher *redisx.Script
}

func newGrants(rdb redisx.Client, space rediskeys.Space, o *Options) *grants {
	return &grants{
		rdb: rdb, keys: space, cacheTTL: o.CacheTTL, codeTTL: o.CodeTTL,
		accessTTL: o.AccessTokenTTL, refreshTTL: o.RefreshTokenTTL, maxAge: o.MaxGrantAge,
		grace: o.RefreshGrace, accessGrace: max(0, o.AccessGrace),
		redeemer: grantRedeem, refresher: grantRefresh,
	}
}

// create stores a grant and returns the code for it.
func (s *grants) create(ctx context.Context, g grant) (credential, error) {
	g.Version = grantVersion
	g.Issued = time.Now().Unix()
	data, err := json.Marshal(g)
	if err != nil {
		return credential{}, err
	}
	code := newCredential(codeKind, random(grantIDBytes))
	reply, err := grantCreate.Exec(ctx, s.rdb, []string{s.keys.Grant(code.grant)}, string(data), code.hash(), millis(s.codeTTL))
	if err != nil {
		return credential{}, err
	}
	return code, expectOne("create grant", reply, errors.New("there is one with this id"))
}

// load returns a grant. It fails with errNoGrant if there is none.
func (s *grants) load(ctx context.Context, id string) (grant, error) {
	data, err := s.rdb.Do(ctx, s.rdb.B().Hget().Key(s.keys.Grant(id)).Field("data").Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return grant{}, errNoGrant
	}
	if err != nil {
		return grant{}, redisx.Unavailable("load grant", err)
	}
	return decodeGrant(data)
}

func decodeGrant(data []byte) (grant, error) {
	var g grant
	if err := json.Unmarshal(data, &g); err != nil {
		return grant{}, fmt.Errorf("decode grant: %w", err)
	}
	if g.Version != grantVersion {
		return grant{}, fmt.Errorf("decode grant: version %d is not known", g.Version)
	}
	return g, nil
}

// redeem exchanges a code for tokens; withRefresh says whether a refresh token
// is among them. The caller has checked that the code's client is asking. It
// fails with errNoGrant, or with errReused if the code was redeemed before.
func (s *grants) redeem(ctx context.Context, code credential, g grant, a access, withRefresh bool) (tokens, error) {
	t := tokens{access: newCredential(accessKind, code.grant)}
	var life time.Duration
	var err error
	if t.life, life, err = s.lives(g); err != nil {
		return tokens{}, err
	}
	refreshHash, family := "", ""
	if withRefresh {
		t.refresh = newCredential(refreshKind, code.grant)
		refreshHash, family = t.refresh.hash(), t.refresh.family()
	} else {
		life = t.life
	}
	reply, err := s.redeemer.Exec(ctx, s.rdb, []string{s.keys.Grant(code.grant)},
		code.hash(), t.access.hash(), millis(t.life), a.String(), refreshHash, family, millis(life))
	if err != nil {
		return tokens{}, err
	}
	switch n, err := reply.AsInt64(); {
	case err != nil:
		return tokens{}, fmt.Errorf("redeem code: unexpected reply: %w", err)
	case n < 0:
		return tokens{}, errReused
	case n == 0:
		return tokens{}, errNoGrant
	}
	return t, nil
}

// refresh exchanges a refresh token for new tokens. The caller has checked that
// the grant's client is asking. It fails with errNoGrant, or with errReused if
// the token had been replaced and its successor used, or replaced as well.
func (s *grants) refresh(ctx context.Context, token credential, g grant, a access) (tokens, error) {
	t := tokens{access: newCredential(accessKind, token.grant)}
	var life time.Duration
	var err error
	if t.life, life, err = s.lives(g); err != nil {
		return tokens{}, err
	}
	salt, grace := random(secretBytes), millis(s.grace)
	if s.grace < 0 {
		grace = "-1"
	}
	reply, err := s.refresher.Exec(ctx, s.rdb, []string{s.keys.Grant(token.grant)},
		token.hash(), token.family(), salt, token.next(salt).hash(),
		t.access.hash(), millis(t.life), a.String(), grace, millis(s.accessGrace), millis(life))
	if err != nil {
		return tokens{}, err
	}
	if reply.IsInt64() {
		if n, _ := reply.AsInt64(); n < 0 {
			return tokens{}, errReused
		}
		return tokens{}, errNoGrant
	}
	if salt, err = reply.ToString(); err != nil {
		return tokens{}, fmt.Errorf("refresh grant: unexpected reply: %w", err)
	}
	t.refresh = token.next(salt)
	return t, nil
}

// lives returns how long an access token that is issued now lives, and how long
// its grant lives if it can be refreshed: as long as the longer-lived of the access
// and the refresh token. It fails with errNoGrant if the grant is too old.
func (s *grants) lives(g grant) (access, whole time.Duration, err error) {
	access, whole = s.accessTTL, max(s.refreshTTL, s.accessTTL)
	if s.maxAge == 0 {
		return access, whole, nil
	}
	left := time.Until(time.Unix(g.Issued, 0).Add(s.maxAge))
	if left < time.Millisecond { // the least that Redis can count
		return 0, 0, errNoGrant
	}
	return min(access, left), min(whole, left), nil
}

// revokeRefresh deletes the grant of a refresh token, current or replaced, and
// with it the grant's code and tokens (RFC 7009, section 2.1). It reports whether
// there was such a token.
func (s *grants) revokeRefresh(ctx context.Context, token credential) (bool, error) {
	reply, err := grantRevoke.Exec(ctx, s.rdb, []string{s.keys.Grant(token.grant)}, token.family())
	if err != nil {
		return false, err
	}
	n, err := reply.AsInt64()
	return n == 1, err
}

// revokeAccess deletes one access token, which may have been replaced, and reports
// whether there was one.
func (s *grants) revokeAccess(ctx context.Context, token credential) (bool, error) {
	cmd := s.rdb.B().Hdel().Key(s.keys.Grant(token.grant)).Field("at:"+token.hash(), "old:"+token.hash()).Build()
	n, err := s.rdb.Do(ctx, cmd).AsInt64()
	if err != nil {
		return false, redisx.Unavailable("revoke access token", err)
	}
	return n == 1, nil
}

// tokens are what a client gets.
type tokens struct {
	access  credential
	life    time.Duration // of the access token
	refresh credential    // the zero credential if there is none
}
