//go:build unix

package e2e

import (
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpfleet/mcpfleet/internal/testing/fleettest"
	"github.com/mcpfleet/mcpfleet/internal/testing/npm"
)

// A client of the HTTP+SSE transport has one stream, at one process, and every
// message it sends goes to any.
func TestClientsOfTheOldTransportUseEveryFeature(t *testing.T) {
	t.Parallel()
	t.Run("go-sdk", func(t *testing.T) {
		t.Parallel()
		f := startFleet(t, everything, 3)
		u := newUser(t, f)
		u.ClientSession = connect(t, u.client, &mcp.SSEClientTransport{Endpoint: f.SSE}, fleettest.WithSessions)
		u.useEverything(t)
	})
	t.Run("TypeScript", func(t *testing.T) {
		t.Parallel()
		npm.Dir(t)
		f := startFleet(t, everything, 3)
		useByScript(t, f, f.SSE, "sse")
	})
}
