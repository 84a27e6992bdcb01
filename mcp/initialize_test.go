package mcp_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// An initialize that Shutdown cuts short while its session is being stored is
// answered once: with the session, or with an error.
func TestShutdownCutsInitializeShort(t *testing.T) {
	t.Parallel()
	for range 20 {
		simulate(t, simulated{}, func(t *testing.T, s *simulation) {
			c, i := at(s.client(t), s.instances[0].url), s.instances[0]
			i.link.Freeze()
			responses := make(chan *http.Response, 1)
			go func() { responses <- c.Post(t, initializeBody) }()
			synctest.Wait()
			time.AfterFunc(time.Second, i.link.Heal) // at the moment at which Shutdown waits no longer
			outcome := shutdown(t, i, time.Second)
			res := soon(t, responses)
			m := (&fleettest.Client{}).Message(t, res)
			if m.Result != nil && res.Header.Get("Mcp-Session-Id") == "" {
				t.Errorf("a result without a session: %s", m.Result)
			}
			<-outcome
		})
	}
}
