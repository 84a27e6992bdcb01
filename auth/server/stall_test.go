package server

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/authtest"
	"github.com/mcpfleet/mcpfleet/internal/testing/redistest"
)

// Nobody has to be anybody to open a connection here. Servers of streams set no
// ReadTimeout, so we cannot count on one.
func TestNobodyHoldsAConnectionByABodyThatHeDoesNotSend(t *testing.T) {
	t.Parallel()
	paths := []string{
		authorizePath, consentPath, "/callback", tokenPath, revokePath, introspectPath, registerPath, "/.well-known/oauth-authorization-server",
	}
	for _, path := range paths {
		synctest.Test(t, func(t *testing.T) {
			s, err := New(&Options{
				Redis: redistest.NewBubble(t).Client(t), Issuer: "http://localhost", Resources: []string{"http://localhost/mcp"},
				Upstream: upstreamStub("http://localhost"),
			})
			if err != nil {
				t.Fatal(err)
			}
			mux := http.NewServeMux()
			s.Handle(mux)
			response, held := authtest.Stall(t, &http.Server{Handler: mux}, path)
			if held > 15*time.Second || !strings.HasPrefix(response, "HTTP/1.1 4") {
				t.Errorf("%s: held for %v, answered %.20q", path, held, response)
			}
		})
	}
}
