package transport

import (
	flags "flag"
	"os"
	"testing"

	"github.com/mcpfleet/mcpfleet/internal/race"
	"github.com/mcpfleet/mcpfleet/internal/redistest"
)

// Random tests take fewer turns with the race detector, which makes each cost
// several times as much: their number without it is what finds things. The flag
// -rapid.checks=N asks for more.
func TestMain(m *testing.M) {
	flags.Parse()
	asked := false
	flags.Visit(func(f *flags.Flag) { asked = asked || f.Name == "rapid.checks" })
	if race.Enabled && !asked {
		if err := flags.Set("rapid.checks", "25"); err != nil {
			panic(err) // rapid has no such flag any more
		}
	}
	os.Exit(redistest.Main(m))
}
