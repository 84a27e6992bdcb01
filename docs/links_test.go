package docs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A link from one of our documents to a file, or to a heading of a document, leads
// somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	links := 0
	for _, page := range append(pages, more...) {
		for _, found := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, page), "code"), -1) {
			to := found[1]
			if strings.Contains(to, "://") {
				continue
			}
			links++
			file, heading, _ := strings.Cut(to, "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: there is no %s", page, to)
			} else if heading != "" && !headings(read(t, target))[heading] {
				t.Errorf("%s: there is no heading %s", page, to)
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links were found", links)
	}
}

// headings returns the names under which GitHub links to the headings of a page.
func headings(page string) map[string]bool {
	names := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		name := strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-")
		names[regexp.MustCompile(`[^\pL\pN_-]`).ReplaceAllString(name, "")] = true
	}
	return names
}
