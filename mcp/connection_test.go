package mcp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// whoRig has a tool that says for whom it runs: the user, the session's id, the client's
// name and what was sent; in between it reports as much progress as it is told to.
func whoRig() *rig {
	r := newRig(nil)
	r.more = func(s *mcp.Server) {
		tool(s, "who", func(ctx context.Context, req *mcp.CallToolRequest, a toolArguments) (string, error) {
			who := fmt.Sprint(req.Extra.TokenInfo.UserID, " ", req.Session.ID(), " ", req.Session.InitializeParams().ClientInfo.Name, " ", a.Text)
			for i := range a.N {
				if err := progress(ctx, req.Session, float64(i), who); err != nil {
					return "", err
				}
			}
			return who, nil
		})
	}
	return r
}

// A speaker is a user's client of one era.
type speaker struct {
	user    string
	client  *fleettest.Client
	id      *regexp.Regexp // of what handlers see as its session
	asks    bool           // its handlers may ask it on the same connection
	session bool
}

// say calls a tool, and returns what is wrong with what comes.
func (sp speaker) say(ctx context.Context, front string, i int) error {
	c, text := at(sp.client, front), fmt.Sprintf("%s-%t-%d", sp.user, sp.session, i)
	call := func(name, arguments, state, answers string) (string, error) {
		params := fmt.Sprintf(`{"name":%q,"arguments":%s%s%s}`, name, arguments, state, answers)
		body, change := fleettest.Request(text+name+state, "tools/call", params), func(http.Header) {}
		if !sp.session {
			body, change = statelessBody(text+name+state, "tools/call", params), named("tools/call", name)
		}
		res, err := c.Do(ctx, http.MethodPost, body, change)
		if err != nil {
			return "", err
		}
		data, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if id := res.Header.Get("Mcp-Session-Id"); err == nil && id != "" {
			err = fmt.Errorf("the response has the session %q", id)
		}
		return string(data), err
	}
	got, err := call("who", fmt.Sprintf(`{"text":%q,"n":%d}`, text, i%3), "", "")
	if err != nil {
		return err
	}
	said := regexp.MustCompile(`(alice|bob) \S+ raw [a-z]+-[a-z]+-\d+`).FindAllString(got, -1)
	if len(said) != i%3+1 {
		return fmt.Errorf("%s got %s", text, got)
	}
	for _, s := range said {
		if parts := strings.Fields(s); parts[0] != sp.user || !sp.id.MatchString(parts[1]) || parts[3] != text {
			return fmt.Errorf("%s got %s", text, s)
		}
	}
	if !sp.asks {
		return nil
	}
	asked, err := call("ask", `{"name":"form"}`, "", "")
	if err != nil {
		return err
	}
	state := regexp.MustCompile(`"requestState":"[^"]+"`).FindString(asked)
	answers := fmt.Sprintf(`,"inputResponses":{"elicit-1":{"action":"accept","content":{"answer":%q}}}`, " "+text)
	if got, err = call("ask", `{"name":"form"}`, ","+state, answers); err == nil && !strings.Contains(got, `"accept `+text+`"`) {
		err = fmt.Errorf("%s asked and got %s after %s", text, got, asked)
	}
	return err
}

// Sessions and requests of 2026-07-28 of two users share one connection to each instance,
// which multiplexes them or not: each gets what is its own.
func TestBothErasOfTwoUsersOnOneConnection(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			f := fleettest.Start(t, fleettest.Config{Server: whoRig().server, Wrap: bearer})
			var fronts []string
			var conns atomic.Int64
			for _, i := range f.Instances {
				handler := bearer(i.Handler)
				front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Proto != protocol {
						t.Errorf("a request came over %s", r.Proto)
					}
					handler.ServeHTTP(w, r)
				}))
				front.EnableHTTP2 = protocol == "HTTP/2.0"
				front.Config.ConnState = func(_ net.Conn, s http.ConnState) {
					if s == http.StateNew {
						conns.Add(1)
					}
				}
				front.StartTLS()
				t.Cleanup(front.Close)
				fronts = append(fronts, front.URL)
			}
			tls := httptest.NewUnstartedServer(nil) // whose client trusts the certificate of all
			tls.EnableHTTP2 = protocol == "HTTP/2.0"
			tls.StartTLS()
			t.Cleanup(tls.Close)
			shared := tls.Client()
			shared.Transport.(*http.Transport).MaxConnsPerHost = 1
			t.Cleanup(shared.CloseIdleConnections)

			var speakers []speaker
			for _, user := range []string{"alice", "bob"} {
				old := &fleettest.Client{URL: fronts[0], Header: http.Header{"Authorization": {"Bearer " + user}}, HTTP: shared}
				recent := *old
				old.Initialize(t, "2025-11-25", everyCapability)
				recent.Version = statelessVersion
				id := regexp.MustCompile(`"text":"\S+ (user-\S+) `).FindStringSubmatch(read(t, statelessCall(t, &recent, "who", "{}")).Body)
				if id == nil {
					t.Fatal("who is it?")
				}
				speakers = append(speakers,
					speaker{user: user, client: old, id: regexp.MustCompile("^" + regexp.QuoteMeta(old.Session) + "$"), session: true},
					speaker{user: user, client: &recent, id: regexp.MustCompile("^" + regexp.QuoteMeta(id[1]) + "$"), asks: true})
			}
			if speakers[1].id.String() == speakers[3].id.String() {
				t.Error("two users have one id")
			}
			var all sync.WaitGroup
			for _, sp := range speakers {
				for n := range 4 { // at once
					all.Go(func() {
						for i := range 15 {
							if err := sp.say(t.Context(), fronts[(n+i)%len(fronts)], n*100+i); err != nil {
								t.Error(err)
							}
						}
					})
				}
			}
			all.Wait()
			if n := conns.Load(); n != 2 {
				t.Errorf("there were %d connections, want one to each instance", n)
			}
		})
	}
}
