package sdkcompat

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// trickery is what only this package may do: look into values by reflection, and
// tell errors by their texts.
var trickery = regexp.MustCompile(`\breflect\.|^"reflect"$|: unmarshaling|into a \*mcp\.|Go struct field|strings\.\w+\([^)]*\.Error\(\)`)

func TestOnlyThisPackageWorksAroundTheSDK(t *testing.T) {
	t.Parallel()
	here := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || path == filepath.Join("..", "..", "internal", "testing")):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			if found := trickery.FindString(strings.TrimSpace(line)); found == "" {
				continue
			} else if filepath.Dir(path) == filepath.Join("..", "..", "internal", "sdkcompat") {
				here++
			} else {
				t.Errorf("%s:%d: %s", path, i+1, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if here == 0 {
		t.Error("nothing is found in this package, so nothing would be found elsewhere")
	}
}

// Each file is one gap, and says what a reader has to know of it.
func TestEachFileNamesItsGapAndItsTest(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	fset := token.NewFileSet()
	for _, file := range files {
		parsed, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				tests[f.Name.Name] = true
			}
		}
	}
	upstream, err := os.ReadFile("../../docs/upstream.md")
	if err != nil {
		t.Fatal(err)
	}
	header := regexp.MustCompile(`(?s)^// The SDK.*\n// Seen in: v\d+\.\d+\.\d+\.\n// Here: .*\n// Test: (Test\w+)\.\n`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "doc.go" || file == "serveroptions.go" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), "\n// The SDK")
		match := header.FindStringSubmatch("// The SDK" + after)
		switch {
		case match == nil:
			t.Errorf("%s does not begin with what the SDK does, where that was seen, what is done here and which test notices its end", file)
		case !tests[match[1]]:
			t.Errorf("%s names %s, which does not exist", file, match[1])
		}
		if !strings.Contains(string(upstream), "internal/sdkcompat/"+file) {
			t.Errorf("docs/upstream.md has no issue for %s", file)
		}
	}
}
