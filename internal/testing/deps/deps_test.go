// Package deps tests which modules the library brings to its users, and which
// of its packages may import which.
package deps

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mcpfleet/mcpfleet"

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

// mayImport says which packages of ours each library package may import,
// besides internal ones.
var mayImport = map[string][]string{
	"session":    {},
	"transport":  {"session"},
	"mcp":        {"session", "transport"},
	"everything": {},

	"auth":              {},
	"auth/server":       {"auth"},
	"auth/fakeupstream": {"auth", "auth/server"},
}

func TestLibraryPackagesImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	for pkg, ours := range mayImport {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, line := range list(t, "./"+pkg) {
				dep, path, _ := strings.Cut(line, " ")
				inside, isOurs := strings.CutPrefix(path, module+"/")
				switch {
				case isOurs && (inside == pkg || slices.Contains(ours, inside)):
				case isOurs && strings.HasPrefix(inside, "internal/") && !strings.HasPrefix(inside, "internal/testing/"):
					if pkg == "everything" {
						t.Errorf("imports %s: it must know neither Redis nor instances", path)
					}
				case isOurs:
					t.Errorf("imports %s", path)
				case dep != "" && !slices.Contains(allowed, dep):
					t.Errorf("imports %s of module %s", path, dep)
				case pkg == "everything" && dep == "github.com/redis/rueidis":
					t.Errorf("imports %s: it must know neither Redis nor instances", path)
				}
			}
		})
	}
}

// list returns the module and path of every package that pkg depends on; the
// standard library's have no module.
func list(t *testing.T, pkg string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}} {{.ImportPath}}", pkg)
	cmd.Dir = "../../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Split(strings.TrimRight(string(out), "\n"), "\n")
}
