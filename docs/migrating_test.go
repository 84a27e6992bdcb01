package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each row of these tables has a test, and that test exists.
func TestEveryRowOfMigratingHasItsTest(t *testing.T) {
	t.Parallel()
	everyRowHasItsTest(t, "migrating.md", 20)
}

func TestEveryThreatHasItsTest(t *testing.T) {
	t.Parallel()
	everyRowHasItsTest(t, "authorization.md", 44+15)
}

// everyRowHasItsTest checks the tables of a page whose last column is headed
// "test".
func everyRowHasItsTest(t *testing.T, file string, least int) {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	named := regexp.MustCompile("^`(Test\\w+)`$")
	rows, columns, inside := 0, 0, false
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasSuffix(line, "| test |"):
			inside, columns = true, strings.Count(line, "|")-1
			continue
		case !strings.HasPrefix(line, "|"):
			inside = false
		}
		if !inside || strings.HasPrefix(line, "|---") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		name := named.FindStringSubmatch(strings.TrimSpace(cells[len(cells)-1]))
		switch {
		case len(cells) != columns:
			t.Errorf("%d cells, want %d: %s", len(cells), columns, line)
		case name == nil:
			t.Errorf("no test: %s", line)
		case !tests[name[1]]:
			t.Errorf("there is no %s: %s", name[1], line)
		}
	}
	if rows < least {
		t.Errorf("only %d rows were found", rows)
	}
}

// testNames returns the tests of the repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		for _, found := range function.FindAllStringSubmatch(string(source), -1) {
			names[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
