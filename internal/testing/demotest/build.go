package demotest

import (
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/mcpfleet/mcpfleet/internal/testing/race"
)

// Build builds examples into dir, as programs with their names, and with the race
// detector if the tests have it.
func Build(dir string, examples ...string) error {
	// GOFLAGS may ask for coverage, which nobody would collect.
	args := []string{"build", "-cover=false", "-o", dir + string(filepath.Separator)}
	if race.Enabled {
		args = append(args, "-race")
	}
	for _, name := range examples {
		args = append(args, "github.com/mcpfleet/mcpfleet/examples/"+name)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}
