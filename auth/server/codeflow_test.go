package server

import (
	"net/http"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

func TestCodeFlowGivesTokensThatEveryInstanceAccepts(t *testing.T) {
	t.Parallel()
	eachFleet(t, func(t *testing.T, fl *fleet) {
		for _, client := range []Client{public, private} {
			l := fl.login(t, client)
			to := l.back(t, "alice")
			q := to.Query()
			if q.Get("state") != "the state" || q.Get("iss") != fl.url || to.Host != "client.example" {
				t.Errorf("the client gets %s", to)
			}
			res := l.redeem(t, q.Get("code"))
			if res.status != http.StatusOK || res.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("token: %d %v %s", res.status, res.header, res.body)
			}
			access, refresh := tokensIn(t, res)
			for range 3 {
				for _, instance := range fl.instances {
					token, err := instance.Verify(t.Context(), access)
					if err != nil || token.Subject != "alice" || token.ClientID != client.ID || token.Issuer != fl.url {
						t.Fatalf("verify: %+v, %v", token, err)
					}
				}
				if res = l.refresh(t, refresh); res.status != http.StatusOK {
					t.Fatalf("refresh: %d %s", res.status, res.body)
				}
				access, refresh = tokensIn(t, res)
			}
		}
		redistest.AssertTTLs(t, fl.admin, fl.prefix)
	})
}
