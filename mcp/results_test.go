package mcp_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
)

// The SDK takes a URI that is missing, or null, for an empty one.
func TestSubscriptionsToNothingAreRefused(t *testing.T) {
	t.Parallel()
	simulate(t, simulated{rig: newsRig()}, func(t *testing.T, s *simulation) {
		old, recent := s.session(t), s.stateless(t)
		for _, params := range []string{`{}`, `{"uri":null}`, `{"uri":""}`, `{"uri":7}`, `{"uri":["news://a"]}`, `{"uri":"` + strings.Repeat("x", 9000) + `"}`} {
			wantInvalid(t, params, read(t, old.Post(t, fleettest.Request(1, "resources/subscribe", params))), 200)
		}
		for _, uris := range []string{`[""]`, `[null]`, `["news://a",""]`} {
			got := read(t, listen(t, recent, `1`, fmt.Sprintf(`{"toolsListChanged":true,"resourceSubscriptions":%s}`, uris)).Response)
			wantInvalid(t, uris, got, 400)
		}
		if m := old.Call(t, "resources/unsubscribe", `{"uri":"news://never"}`); m.Error != nil {
			t.Errorf("unsubscribe from what was never subscribed to: %s", m.Error)
		}
	})
}

func wantInvalid(t *testing.T, what string, got response, status int) {
	t.Helper()
	var m struct{ Error struct{ Code int } }
	if err := json.Unmarshal([]byte(got.Body), &m); err != nil || m.Error.Code != -32602 || got.Status != status || got.Type != "application/json" {
		t.Errorf("%.80s: %+v, want status %d and code -32602", what, got, status)
	}
}
