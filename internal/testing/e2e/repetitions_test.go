//go:build unix

package e2e

import (
	"os"
	"strconv"
	"testing"
)

// repetitions is how often a test does what it does: as an environment variable says,
// or else as usual.
func repetitions(t testing.TB, variable string, usual int) int {
	t.Helper()
	s := os.Getenv(variable)
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	must(t, err)
	return n
}
