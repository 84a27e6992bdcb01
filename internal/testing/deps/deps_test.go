// Package deps tests which modules the library brings to its users, and which
// of our packages imports which.
package deps

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	module = "github.com/mcpfleet/mcpfleet"
	root   = "../../.."
)

// Whoever imports the library gets these modules and no other. Test tools and
// demo conveniences (miniredis, .env readers, exporters) are not among them.
var allowed = []string{
	"github.com/modelcontextprotocol/go-sdk",
	"github.com/redis/rueidis",
	"github.com/google/uuid",
	"golang.org/x/oauth2",
	"github.com/go-jose/go-jose/v4",
	"code.dny.dev/ssrf",
	// What the go-sdk and rueidis bring.
	"github.com/google/jsonschema-go",
	"github.com/segmentio/asm",
	"github.com/segmentio/encoding",
	"github.com/yosida95/uritemplate/v3",
	"golang.org/x/sync",
	"golang.org/x/sys",
	"golang.org/x/time",
}

// The packages that users import.
var library = []string{"mcp", "transport", "session", "everything", "auth", "auth/server", "auth/fakeupstream"}

// tree is what each package imports of ours, from the ground up; tests and test
// tools aside. An arrow that is not here needs a reason, and one that is no
// longer there has to go.
var tree = map[string]string{
	// Leaves: each can be read alone.
	"internal/bodylimit":  "",
	"internal/cors":       "",
	"internal/fetch":      "",
	"internal/htmlpage":   "",
	"internal/jsonrpcmsg": "",
	"internal/jwks":       "",
	"internal/loopback":   "",
	"internal/options":    "",
	"internal/pace":       "",
	"internal/rediskeys":  "",
	"internal/redisx":     "",
	"internal/signal":     "",
	"internal/tokenlife":  "",

	"internal/sse":          "internal/pace",
	"internal/sdkcompat":    "internal/jsonrpcmsg",
	"internal/limit":        "internal/rediskeys internal/redisx",
	"internal/roundstore":   "internal/rediskeys internal/redisx",
	"internal/sessionstore": "internal/options internal/rediskeys internal/redisx",
	"internal/eventlog":     "internal/jsonrpcmsg internal/options internal/rediskeys internal/redisx internal/sessionstore",
	"internal/bus":          "internal/rediskeys internal/redisx internal/signal",

	// The instances of a fleet.
	"internal/node": "internal/bus internal/eventlog internal/jsonrpcmsg internal/options internal/rediskeys internal/redisx " +
		"internal/roundstore internal/sdkcompat internal/sessionstore internal/signal internal/sse",
	"internal/httperror": "internal/jsonrpcmsg internal/node internal/sessionstore internal/sse",
	"internal/runner":    "internal/httperror internal/jsonrpcmsg internal/node internal/roundstore internal/sdkcompat internal/sessionstore",

	// What users import. Packages mcp and transport do not know each other, and
	// auth knows nothing of sessions.
	"session": "internal/sessionstore",
	"transport": "internal/bus internal/eventlog internal/httperror internal/jsonrpcmsg internal/node internal/options internal/pace internal/runner " +
		"internal/sdkcompat internal/sessionstore internal/sse session",
	"mcp": "internal/bodylimit internal/bus internal/cors internal/eventlog internal/httperror internal/jsonrpcmsg internal/loopback " +
		"internal/node internal/options internal/pace internal/runner internal/sdkcompat internal/sessionstore internal/signal internal/sse internal/tokenlife session",

	"auth": "internal/bodylimit internal/cors internal/fetch internal/jwks internal/options internal/tokenlife",
	"auth/server": "auth internal/bodylimit internal/cors internal/fetch internal/htmlpage internal/jwks internal/limit internal/loopback " +
		"internal/options internal/rediskeys internal/redisx",
	"auth/fakeupstream": "auth/server internal/bodylimit internal/htmlpage internal/limit internal/rediskeys internal/redisx",

	// Any SDK server can be served: this one knows neither Redis nor instances.
	"everything": "",

	"docs":                          "",
	"examples/client":               "",
	"examples/minimal":              "mcp",
	"examples/internal/demo":        "auth auth/fakeupstream auth/server internal/loopback internal/rediskeys mcp",
	"examples/everything":           "auth everything examples/internal/demo mcp",
	"examples/conformance":          "auth examples/conformance/fixtures examples/internal/demo mcp",
	"examples/conformance/fixtures": "",
}

// isTestTool reports whether a package is a tool of tests, which may import
// anything and is imported by tests only.
func isTestTool(pkg string) bool { return strings.HasPrefix(pkg+"/", "internal/testing/") }

func TestPackagesImportWhatTheTreeSays(t *testing.T) {
	t.Parallel()
	imports := map[string]string{}
	for _, line := range goList(t, `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...") {
		var ours []string
		for path := range strings.FieldsSeq(line) {
			if inside, ok := strings.CutPrefix(path, module+"/"); ok {
				ours = append(ours, inside)
			}
		}
		if pkg := ours[0]; !isTestTool(pkg) {
			imports[pkg] = strings.Join(ours[1:], " ")
		}
	}
	if diff := cmp.Diff(tree, imports); diff != "" {
		t.Errorf("imports differ from the tree (-tree +imports):\n%s", diff)
	}
}

func TestTheTreeHasNoTestTools(t *testing.T) {
	t.Parallel()
	for pkg, imports := range tree {
		for imported := range strings.FieldsSeq(imports) {
			if isTestTool(imported) {
				t.Errorf("%s may import %s, a tool of tests", pkg, imported)
			}
			if _, ok := tree[imported]; !ok {
				t.Errorf("%s may import %s, which is not in the tree", pkg, imported)
			}
		}
	}
}

func TestUsersGetNoOtherModules(t *testing.T) {
	t.Parallel()
	for _, pkg := range library {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, line := range goList(t, "{{with .Module}}{{.Path}}{{end}} {{.ImportPath}}", "-deps", "./"+pkg) {
				dep, path, _ := strings.Cut(line, " ")
				switch {
				case dep == "" || dep == module: // of the standard library, or ours
				case !slices.Contains(allowed, dep):
					t.Errorf("imports %s of module %s", path, dep)
				case pkg == "everything" && dep == "github.com/redis/rueidis":
					t.Errorf("imports %s: it must know neither Redis nor instances", path)
				}
			}
		})
	}
}

// goList returns what go list says, a line for each package.
func goList(t *testing.T, format string, args ...string) []string {
	t.Helper()
	statFiles(t)
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-f", format}, args...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Split(strings.TrimRight(string(out), "\n"), "\n")
}

// statFiles calls os.Stat for every Go file. go test keeps track of the files that a
// test opens or stats, but not of those that go list reads: without this, it would
// return a cached result although a file has changed.
func statFiles(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		_, err = os.Stat(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
