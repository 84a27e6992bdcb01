package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mcpfleet/mcpfleet/"

func TestArchitectureListsThePackagesAndTheirImports(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([\\w/]+)` \\| .* \\|(.*)\\|$").FindAllStringSubmatch(section(t, "## Packages"), -1) {
		allowed[row[1]] = []string{}
		for _, name := range regexp.MustCompile("`([\\w/]+)`").FindAllStringSubmatch(row[2], -1) {
			allowed[row[1]] = append(allowed[row[1]], fullName(name[1]))
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	there := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(strings.ReplaceAll(line, module, ""))
		pkg, imports := words[0], words[1:]
		if pkg == "docs" || strings.HasPrefix(pkg, "examples/") || strings.HasPrefix(pkg, "internal/testing/") {
			continue
		}
		there[pkg] = true
		mayImport, listed := allowed[pkg]
		if !listed {
			t.Errorf("architecture.md lacks %s", pkg)
		}
		for _, imported := range imports {
			if isOurs(imported) && !slices.Contains(mayImport, imported) {
				t.Errorf("%s imports %s, which architecture.md does not allow", pkg, imported)
			}
		}
	}
	for pkg, imports := range allowed {
		for _, name := range append(imports, pkg) {
			if !there[name] {
				t.Errorf("%s, in the row %s, does not exist", name, pkg)
			}
		}
	}
}

// The files that architecture.md names, and the types of its glossary, exist.
func TestArchitectureNamesWhatExists(t *testing.T) {
	t.Parallel()
	names := 0
	for _, file := range regexp.MustCompile("`((?:mcp|internal|docs)/[\\w/]+\\.\\w+)`").FindAllStringSubmatch(section(t, "## Recipes"), -1) {
		names++
		if _, err := os.Stat(filepath.Join("..", file[1])); err != nil {
			t.Error(err)
		}
	}
	for _, name := range regexp.MustCompile("\\| `((\\w+)\\.(\\w+))` \\|\n").FindAllStringSubmatch(section(t, "## Glossary"), -1) {
		names++
		if !hasType(t, directory(name[2]), name[3]) {
			t.Errorf("%s does not exist", name[1])
		}
	}
	if names < 20 {
		t.Errorf("only %d names were found", names)
	}
}

// section returns what is between a heading of architecture.md and the next one.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, text, found := strings.Cut(read(t, "architecture.md"), heading+"\n")
	if !found {
		t.Fatalf("architecture.md has no %s", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

func isOurs(name string) bool {
	return regexp.MustCompile(`^(mcp|transport|session|auth|everything|examples|internal)(/|$)`).MatchString(name)
}

// fullName returns the directory of a package of the table: those below internal
// are without it.
func fullName(name string) string {
	if isOurs(name) {
		return name
	}
	return "internal/" + name
}

// directory returns where the package is that Go code calls name.
func directory(name string) string {
	switch name {
	case "fleet":
		return "mcp"
	case "server":
		return "auth/server"
	}
	return fullName(name)
}

func hasType(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^(type |\t)` + name + `\b(\[.*\])? +(=|struct|interface|string)`)
	return slices.ContainsFunc(files, func(file string) bool { return declared.MatchString(read(t, file)) })
}
