package server

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

var (
	//go:embed lua/flow_create.lua
	flowCreateLua string
	flowCreate    = redisx.NewScript("create flow", flowCreateLua)

	//go:embed lua/flow_approve.lua
	flowApproveLua string
	flowApprove    = redisx.NewScript("approve flow", flowApproveLua)

	//go:embed lua/flow_deny.lua
	flowDenyLua string
	flowDeny    = redisx.NewScript("deny flow", flowDenyLua)

	//go:embed lua/flow_finish.lua
	flowFinishLua string
	flowFinish    = redisx.NewScript("finish flow", flowFinishLua)
)

// errNoFlow says that there is no flow that the request could go on with: it
// expired, went on already, or belongs to another browser.
var errNoFlow = errors.New("no such authorization is waiting in this browser")

// A flow is an authorization on its way from the client's request over consent
// and login to the code.
type flow struct {
	Version   int      `json:"v"`
	Client    string   `json:"client"`
	Redirect  string   `json:"redirect"`
	State     string   `json:"state"`
	Challenge string   `json:"challenge"`
	Scopes    []string `json:"scopes"`
	Resources []string `json:"resources"`
}

const flowVersion = 1

// A ticket is what a browser has of a flow: Browser in a cookie and Form in the
// consent page. Only who has both can decide, so no other site can do it for
// the user, and no other user can go on with the flow.
type ticket struct{ id, browser, form string }

// flows keeps the flows in Redis. It is safe for concurrent use.
type flows struct {
	rdb  redisx.Client
	keys rediskeys.Space
	ttl  time.Duration
}

func (s *flows) create(ctx context.Context, f flow) (ticket, error) {
	f.Version = flowVersion
	data, err := json.Marshal(f)
	if err != nil {
		return ticket{}, err
	}
	t := ticket{random(grantIDBytes), random(secretBytes), random(secretBytes)}
	reply, err := flowCreate.Exec(ctx, s.rdb, []string{s.keys.Flow(t.id)},
		string(data), HashSecret(t.browser), HashSecret(t.form), millis(s.ttl))
	if err != nil {
		return ticket{}, err
	}
	return t, expectOne("create flow", reply, errors.New("there is one with this id"))
}

// load returns a flow, which only shows what is decided on; it fails with
// errNoFlow.
func (s *flows) load(ctx context.Context, id string) (flow, error) {
	if !isRandom(id, grantIDBytes) {
		return flow{}, errNoFlow
	}
	data, err := s.rdb.Do(ctx, s.rdb.B().Hget().Key(s.keys.Flow(id)).Field("data").Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return flow{}, errNoFlow
	}
	if err != nil {
		return flow{}, redisx.Unavailable("load flow", err)
	}
	return decodeFlow(data)
}

// newState returns a state for the upstream. It names the flow.
func (t ticket) newState() string { return t.id + "." + random(secretBytes) }

// approve notes the user's consent and how the login that follows will be
// recognized. It returns where that login is: if the user has consented before,
// with the same form, the one that began then. It fails with errNoFlow.
func (s *flows) approve(ctx context.Context, t ticket, state string, location *url.URL, upstream []byte) (*url.URL, error) {
	reply, err := flowApprove.Exec(ctx, s.rdb, []string{s.keys.Flow(t.id)},
		HashSecret(t.browser), HashSecret(t.form), HashSecret(state), string(seal(t.browser, t.id, upstream)),
		string(seal(t.browser, t.id+" login", []byte(location.String()))))
	if err != nil {
		return nil, err
	}
	if reply.IsNil() {
		return nil, errNoFlow
	}
	sealed, err := reply.AsBytes()
	if err != nil {
		return nil, fmt.Errorf("approve flow: unexpected reply: %w", err)
	}
	first, err := unseal(t.browser, t.id+" login", sealed)
	if err != nil {
		return nil, fmt.Errorf("approve flow: %w", err)
	}
	return url.Parse(string(first))
}

// deny ends a flow; it fails with errNoFlow.
func (s *flows) deny(ctx context.Context, t ticket) error {
	reply, err := flowDeny.Exec(ctx, s.rdb, []string{s.keys.Flow(t.id)}, HashSecret(t.browser), HashSecret(t.form))
	if err != nil {
		return err
	}
	return expectOne("deny flow", reply, errNoFlow)
}

// flowOf returns the id of the flow that a state belongs to.
func flowOf(state string) (id string, ok bool) {
	id, value, _ := strings.Cut(state, ".")
	return id, isRandom(id, grantIDBytes) && isRandom(value, secretBytes)
}

// finish ends a flow and returns it with the upstream's data; it fails with
// errNoFlow.
func (s *flows) finish(ctx context.Context, id, browser, state string) (flow, []byte, error) {
	reply, err := flowFinish.Exec(ctx, s.rdb, []string{s.keys.Flow(id)}, HashSecret(browser), HashSecret(state))
	if err != nil {
		return flow{}, nil, err
	}
	if reply.IsNil() {
		return flow{}, nil, errNoFlow
	}
	values, err := reply.AsStrSlice()
	if err != nil || len(values) != 2 {
		return flow{}, nil, fmt.Errorf("finish flow: unexpected reply: %w", err)
	}
	f, err := decodeFlow([]byte(values[0]))
	if err != nil {
		return flow{}, nil, err
	}
	upstream, err := unseal(browser, id, []byte(values[1]))
	return f, upstream, err
}

func decodeFlow(data []byte) (flow, error) {
	var f flow
	if err := json.Unmarshal(data, &f); err != nil {
		return flow{}, fmt.Errorf("decode flow: %w", err)
	}
	if f.Version != flowVersion {
		return flow{}, fmt.Errorf("decode flow: version %d is not known", f.Version)
	}
	return f, nil
}

// expectOne returns otherwise unless a script answered 1.
func expectOne(doing string, reply rueidis.RedisMessage, otherwise error) error {
	switch n, err := reply.AsInt64(); {
	case err != nil:
		return fmt.Errorf("%s: unexpected reply: %w", doing, err)
	case n != 1:
		return fmt.Errorf("%s: %w", doing, otherwise)
	}
	return nil
}
