package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/mcpfleet/mcpfleet/internal/rediskeys"
	"github.com/mcpfleet/mcpfleet/internal/redisx"
)

// errNoClient is returned for an id that no client has.
var errNoClient = errors.New("no such client")

// clients finds clients of all sorts. All parts of the server use it, so they
// agree on which clients exist.
type clients struct {
	rdb       redisx.Client
	keys      rediskeys.Space
	ttl       time.Duration
	known     map[string]*Client
	documents *documents // nil if they are switched off
	schemes   []string
}

func newClients(rdb redisx.Client, space rediskeys.Space, o *Options, f *fetcher) *clients {
	c := &clients{rdb: rdb, keys: space, ttl: o.ClientTTL, known: map[string]*Client{}, schemes: o.RedirectSchemes}
	for _, one := range o.Clients {
		c.known[one.ID] = &one
	}
	if !o.NoClientDocuments {
		c.documents = newDocuments(rdb, space, o, f)
	}
	return c
}

// isDocument reports whether a client's id is the URL of its document.
func isDocument(id string) bool { return strings.HasPrefix(id, "https://") }

// find returns a client, which must not be changed, for a request from an
// address. It fails with errNoClient if there is none, and with an [*oauthError]
// if there is one that cannot be used.
func (c *clients) find(ctx context.Context, id, address string) (*Client, error) {
	if client := c.known[id]; client != nil {
		return client, nil
	}
	if isDocument(id) {
		if c.documents == nil {
			return nil, errNoClient
		}
		return c.documents.client(ctx, id, address)
	}
	return c.registered(ctx, id)
}

// preregistered reports whether the operator configured a client.
func (c *clients) preregistered(id string) bool { return c.known[id] != nil }

// A registration is a registered client as Redis stores it.
type registration struct {
	Version int     `json:"v"`
	Client  *Client `json:"client"`
}

const registrationVersion = 1

// register stores a client that registered itself. It is deleted when it has not
// been used for [Options.ClientTTL].
func (c *clients) register(ctx context.Context, client *Client) error {
	data, err := json.Marshal(registration{registrationVersion, client})
	if err != nil {
		return err
	}
	cmd := c.rdb.B().Set().Key(c.keys.Client(client.ID)).Value(string(data)).Nx().Px(c.ttl).Build()
	if err := c.rdb.Do(ctx, cmd).Error(); err != nil {
		if rueidis.IsRedisNil(err) {
			return fmt.Errorf("register client: there is one with id %s", client.ID)
		}
		return redisx.Unavailable("register client", err)
	}
	return nil
}

func (c *clients) registered(ctx context.Context, id string) (*Client, error) {
	if !isClientID(id) {
		return nil, errNoClient
	}
	cmd := c.rdb.B().Getex().Key(c.keys.Client(id)).Px(c.ttl).Build()
	data, err := c.rdb.Do(ctx, cmd).AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, errNoClient
	}
	if err != nil {
		return nil, redisx.Unavailable("load client", err)
	}
	var reg registration
	if err := json.Unmarshal(data, &reg); err != nil {
		return nil, fmt.Errorf("decode client: %w", err)
	}
	if reg.Version != registrationVersion || reg.Client == nil {
		return nil, fmt.Errorf("decode client: version %d is not known", reg.Version)
	}
	return reg.Client, nil
}

// redirectURI returns where to send the client's users for a request that names
// uri, or none.
func (c *clients) redirectURI(client *Client, uri string) (string, error) {
	if uri == "" {
		if len(client.RedirectURIs) != 1 {
			return "", refuse("invalid_request", "redirect_uri is missing")
		}
		uri = client.RedirectURIs[0]
	}
	if err := checkRedirectURI(uri, c.schemes); err != nil {
		return "", refuse("invalid_request", "%v", err)
	}
	if !slices.ContainsFunc(client.RedirectURIs, func(registered string) bool { return matchRedirectURI(registered, uri) }) {
		return "", refuse("invalid_request", "redirect_uri is not one of the client's")
	}
	return uri, nil
}

// mayUse reports whether the client may use a grant type.
func (c *Client) mayUse(grantType string) bool {
	if len(c.GrantTypes) == 0 {
		return grantType == grantCode || grantType == grantRefreshToken
	}
	return slices.Contains(c.GrantTypes, grantType)
}

// confidential reports whether the client can authenticate (OAuth 2.1, section
// 2.1).
func (c *Client) confidential() bool { return c.AuthMethod != "" && c.AuthMethod != methodNone }
