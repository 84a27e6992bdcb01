package everything_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	thisPackage = "github.com/mcpfleet/mcpfleet/everything"
	sdkModule   = "github.com/modelcontextprotocol/go-sdk/"
	jsonschema  = "github.com/google/jsonschema-go/jsonschema" // part of the SDK's API
)

// That the package knows neither Redis nor instances is what it proves: any
// server written with the SDK runs on a fleet unchanged.
func TestPackageImportsOnlyTheStandardLibraryAndTheSDK(t *testing.T) {
	t.Parallel()
	for _, path := range goList(t, "-f", `{{join .Imports "\n"}}`, thisPackage) {
		if isStandard(path) || strings.HasPrefix(path, sdkModule) || path == jsonschema {
			continue
		}
		t.Errorf("package everything imports %s", path)
	}
}

func TestPackageDependsOnNothingTheSDKDoesNot(t *testing.T) {
	t.Parallel()
	allowed := goList(t, "-deps", sdkModule+"mcp", sdkModule+"jsonrpc")
	if slices.ContainsFunc(allowed, func(path string) bool { return strings.Contains(path, "rueidis") }) {
		t.Fatal("the SDK depends on rueidis: this test proves nothing")
	}
	for _, path := range goList(t, "-deps", thisPackage) {
		if isStandard(path) || path == thisPackage || slices.Contains(allowed, path) {
			continue
		}
		t.Errorf("package everything depends on %s", path)
	}
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

// isStandard reports whether a package is of the standard library: the first
// element of its path has no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}
