package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A step is one item of a walk: the functions that are entered in one file.
type step struct {
	file      string
	functions []string
}

var (
	stepLine = regexp.MustCompile("^\\d+\\. `([^`]+)`(?:: (.*))?$")
	stepName = regexp.MustCompile("^`([^`]+)`$")
)

// walks returns the lists of the section "Walks" of a page, by the heading that
// they stand under, each in its order. Lists are apart by a line of text.
func walks(t *testing.T, page string) map[string][][]step {
	t.Helper()
	_, section, ok := strings.Cut(page, "\n## Walks\n")
	if !ok {
		t.Fatal("there is no section Walks")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	found := map[string][][]step{}
	var heading string
	inList := false
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "### "); ok {
			heading = name
		}
		match := stepLine.FindStringSubmatch(line)
		if match == nil {
			inList = inList && line == ""
			continue
		}
		if !inList {
			found[heading] = append(found[heading], nil)
			inList = true
		}
		s := step{file: match[1]}
		for name := range strings.SplitSeq(match[2], ", ") {
			if name == "" {
				continue
			}
			quoted := stepName.FindStringSubmatch(name)
			if quoted == nil {
				t.Fatalf("%q is no list of functions", line)
			}
			s.functions = append(s.functions, quoted[1])
		}
		lists := found[heading]
		lists[len(lists)-1] = append(lists[len(lists)-1], s)
	}
	return found
}

// functionsOf returns the names of a Go file's functions, with their receivers'
// types.
func functionsOf(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := f.Name.Name
		if f.Recv != nil {
			receiver := f.Recv.List[0].Type
			if pointer, ok := receiver.(*ast.StarExpr); ok {
				receiver = pointer.X
			}
			if ident, ok := receiver.(*ast.Ident); ok {
				name = ident.Name + "." + name
			}
		}
		names = append(names, name)
	}
	return names
}

func TestTheFunctionsOfWalksExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	found := walks(t, string(page))
	if len(found) != 5 {
		t.Errorf("there are %d walks, want 5", len(found))
	}
	for walk, lists := range found {
		for _, s := range slices.Concat(lists...) {
			path := filepath.Join("..", filepath.FromSlash(s.file))
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", walk, err)
				continue
			}
			if len(s.functions) == 0 {
				continue
			}
			have := functionsOf(t, path)
			for _, name := range s.functions {
				if !slices.Contains(have, name) {
					t.Errorf("%s: %s has no %s", walk, s.file, name)
				}
			}
		}
	}
}

// What a reader has to open to follow the most usual of all messages.
func TestACallOfAToolComesByNineFilesAndByNoneTwice(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	lists := walks(t, string(page))["A call of a tool"]
	if len(lists) != 2 {
		t.Fatalf("there are %d lists, want the way in and the way back", len(lists))
	}
	if in := len(lists[0]); in < 5 || in > 9 {
		t.Errorf("the way in has %d files, want at most 9", in)
	}
	for _, list := range lists {
		seen := map[string]bool{}
		for _, s := range list {
			if seen[s.file] {
				t.Errorf("%s comes twice", s.file)
			}
			seen[s.file] = true
		}
	}
}
