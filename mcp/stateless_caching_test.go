package mcp_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// cacheable are the requests of protocol 2026-07-28 whose results say who may
// keep them.
var cacheable = []struct{ method, name, params string }{
	{"server/discover", "", `{}`},
	{"tools/list", "", `{}`},
	{"prompts/list", "", `{}`},
	{"resources/list", "", `{}`},
	{"resources/templates/list", "", `{}`},
	{"resources/read", "news://a", `{"uri":"news://a"}`},
}

// The SDK says "public" for a server that says nothing: any cache may answer any
// user with what one of them got.
func TestResultsForUsersAreNotForSharedCaches(t *testing.T) {
	t.Parallel()
	public := &mcp.ServerOptions{SetCacheable: func(_ context.Context, _ mcp.Request, c *mcp.Cacheable) { c.CacheScope = "public" }}
	for _, test := range []struct {
		what, user string
		opts       *mcp.ServerOptions
		want       string
	}{
		{"a server without users", "", nil, "public"},
		{"a server with users", "alice", nil, "private"},
		{"a server that decides by itself", "alice", public, "public"},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			r := newsRig()
			if test.opts != nil {
				r.opts.SetCacheable = test.opts.SetCacheable
			}
			fleet := simulated{rig: r}
			if test.user != "" {
				fleet.wrap = bearer
			}
			simulate(t, fleet, func(t *testing.T, s *simulation) {
				c := s.stateless(t)
				if test.user != "" {
					c.Header.Set("Authorization", "Bearer "+test.user)
				}
				for _, id := range []string{`1`, `"<one>"`, `12345678901234567890`} {
					for _, req := range cacheable {
						m := c.Message(t, c.Post(t, statelessBody(json.RawMessage(id), req.method, req.params), named(req.method, req.name)))
						var got struct {
							CacheScope string
							TTLMs      *int
							ResultType string
						}
						if err := json.Unmarshal(m.Result, &got); err != nil || string(m.ID) != id && !sameString(string(m.ID), id) {
							t.Fatalf("%s: id %s, %s%s: %v", req.method, m.ID, m.Result, m.Error, err)
						}
						if got.CacheScope != test.want || got.TTLMs == nil || *got.TTLMs < 0 || got.ResultType != "complete" {
							t.Errorf("%s: %+v; want the scope %s", req.method, got, test.want)
						}
					}
				}
			})
		})
	}
}

// What only looks like a scope stays as it is.
func TestOnlyTheScopeOfAResultChanges(t *testing.T) {
	t.Parallel()
	r := newsRig()
	more := r.more
	const text = `"cacheScope":"public" <&>`
	r.more = func(s *mcp.Server) {
		more(s)
		s.AddResource(&mcp.Resource{URI: "news://meta", Name: "meta"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			meta := mcp.Meta{"cacheScope": "public"}
			return &mcp.ReadResourceResult{Meta: meta, Contents: []*mcp.ResourceContents{{URI: "news://meta", Text: text, Meta: meta}}}, nil
		})
	}
	simulate(t, simulated{rig: r, wrap: bearer}, func(t *testing.T, s *simulation) {
		c := s.stateless(t)
		c.Header.Set("Authorization", "Bearer alice")
		m := c.Message(t, c.Post(t, statelessBody(1, "resources/read", `{"uri":"news://meta"}`), named("resources/read", "news://meta")))
		var got struct {
			Meta       struct{ CacheScope string } `json:"_meta"`
			CacheScope string
			Contents   []struct {
				Text string
				Meta struct{ CacheScope string } `json:"_meta"`
			}
		}
		if err := json.Unmarshal(m.Result, &got); err != nil || len(got.Contents) != 1 {
			t.Fatalf("%s%s: %v", m.Result, m.Error, err)
		}
		if got.CacheScope != "private" || got.Meta.CacheScope != "public" || got.Contents[0].Meta.CacheScope != "public" || got.Contents[0].Text != text {
			t.Errorf("the result is %s", m.Result)
		}
	})
}

// Lists are the same on every instance and every time, or a client's cache of
// prompts would miss.
func TestListsAreInOneOrderEverywhere(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig(), instances: 3}, func(t *testing.T, s *simulation) {
		for _, req := range cacheable[1:5] {
			var first string
			for n := range 12 {
				c := at(s.stateless(t), s.instances[n%3].url)
				m := c.Message(t, c.Post(t, statelessBody(1, req.method, req.params), named(req.method, req.name)))
				if n == 0 {
					first = string(m.Result)
				}
				if string(m.Result) != first {
					t.Errorf("%s: %s and %s", req.method, first, m.Result)
				}
			}
		}
	})
}
