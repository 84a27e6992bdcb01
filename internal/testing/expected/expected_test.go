package expected

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestAPanicIsAFailure(t *testing.T) {
	t.Parallel()
	Failure(t)
	go panic("this ends the process")
	<-t.Context().Done()
}

func TestASubtestMayBeListed(t *testing.T) {
	t.Parallel()
	t.Run("it is not mended", func(t *testing.T) {
		t.Parallel()
		Failure(t)
		t.Error("no")
	})
	t.Run("what is not on the list just runs", func(t *testing.T) {
		t.Parallel()
		Failure(t)
	})
}

// Whoever mends something has to hear of it.
func TestATestThatNoLongerFailsIsReported(t *testing.T) {
	t.Parallel()
	if os.Getenv(childEnv) != "" {
		return // nothing is wrong: this is the process that run has started
	}
	if output, failed := run(t); failed {
		t.Errorf("run says that a test which passes has failed:\n%s", output)
	}
}

// A name on the list without such a test would be there for ever.
func TestEachListedTestExists(t *testing.T) {
	t.Parallel()
	missing := maps.Clone(failures)
	calls := regexp.MustCompile(`\bFailure\(t\)`)
	function := regexp.MustCompile(`(?ms)^func (Test\w+)\(t \*testing\.T\) \{\n.*?^\}\n`)
	err := filepath.WalkDir("../../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range function.FindAllStringSubmatch(string(source), -1) {
			if !calls.MatchString(found[0]) {
				continue
			}
			maps.DeleteFunc(missing, func(name, _ string) bool {
				top, _, _ := strings.Cut(name, "/")
				return top == found[1]
			})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range missing {
		t.Errorf("%s is on the list, but no test of that name calls Failure", name)
	}
}
