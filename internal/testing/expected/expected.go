// Package expected has the tests that are known to fail, with the reason for each.
//
// Such a test says what is right and is not mended yet. It calls [Failure] where
// it begins, and its name is in the list of this package. When it no longer fails,
// it is reported, so that nobody forgets to take it off the list.
package expected

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// failures has the tests and subtests that are expected to fail, as go test names
// them, each with the reason.
var failures = map[string]string{
	"TestAPanicIsAFailure":                     "it shows that this package works",
	"TestASubtestMayBeListed/it_is_not_mended": "it shows that this package works",
}

// childEnv is set in the process that runs a test to see it fail.
const childEnv = "MCPFLEET_EXPECTED_FAILURE"

// patience bounds how long a test may take to fail.
const patience = 2 * time.Minute

// Failure runs the rest of the calling test, if that is on the list, in a process
// of its own, and demands that it fails there: then the test is skipped, and fails
// otherwise. For a test that is not on the list it does nothing.
//
// Call it after t.Parallel, and before synctest.Test.
func Failure(t *testing.T) {
	t.Helper()
	reason, listed := failures[t.Name()]
	child := os.Getenv(childEnv)
	switch {
	case !listed || child == t.Name() || strings.HasPrefix(child, t.Name()+"/"):
		return
	case child != "":
		t.Skip("this process is for " + child)
	}
	switch output, failed := run(t); {
	case !strings.Contains(output, "=== RUN   "+t.Name()+"\n"):
		t.Fatalf("the test was not run:\n%s", output)
	case !failed:
		t.Fatalf("it no longer fails: take it off the list in internal/testing/expected (%s)\n%s", reason, output)
	default:
		t.Skipf("fails as expected: %s", reason)
	}
}

// run runs the calling test in a process of its own, and reports whether it has
// failed there or has ended the process.
func run(t *testing.T) (output string, failed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", pattern(t.Name()), "-test.v", "-test.count", "1")
	cmd.Env = append(os.Environ(), childEnv+"="+t.Name())
	out, _ := cmd.CombinedOutput() // what it says tells more than its exit status, which is that of all tests
	if ctx.Err() != nil {
		t.Fatalf("it has neither failed nor passed after %v:\n%s", patience, out)
	}
	return string(out), failure(t.Name()).Match(out)
}

// failure matches the output of a test that has failed or ended its process.
func failure(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^ *--- FAIL: ` + regexp.QuoteMeta(name) + ` \(|^panic: |^fatal error: `)
}

// pattern returns the value of go test's -run that selects one test or subtest.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
