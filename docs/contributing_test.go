package docs

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// notRunByCI are the commands of CONTRIBUTING.md that nothing runs unattended.
var notRunByCI = map[string]string{
	"clone": "CI clones what is checked out, not what is published",
	"ci":    "it is CI",
	"debug": "it needs a terminal",
}

// Each command of CONTRIBUTING.md is a target of the Makefile, which has no other.
func TestTheMakefileDoesWhatContributingSays(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		if os.Getenv("REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	commands := contributing(t)
	for name, want := range commands {
		if name == "clone" {
			continue
		}
		out, err := exec.CommandContext(t.Context(), "make", "-C", "..", "--no-print-directory", "-n", name).CombinedOutput()
		if got := string(out); err != nil || got != want {
			t.Errorf("make %s: %v, does\n%s\nwant\n%s", name, err, got, want)
		}
	}
	targets := regexp.MustCompile(`(?m)^([a-z]+):.* ## `).FindAllStringSubmatch(read(t, "../Makefile"), -1)
	for _, target := range targets {
		if name := target[1]; commands[name] == "" && name != "help" {
			t.Errorf("CONTRIBUTING.md has no %s", name)
		}
	}
}

func TestCIRunsTheCommandsOfContributing(t *testing.T) {
	t.Parallel()
	run := map[string]bool{}
	lines := regexp.MustCompile(`(?m)^(?:.* )?(?:make -s|check '[^']+'|start) ([a-z]+)`)
	for _, line := range lines.FindAllStringSubmatch(read(t, "../.ci/run")+read(t, "../.ci/contributing"), -1) {
		run[line[1]] = true
	}
	for name := range contributing(t) {
		runs := run[name]
		if _, excused := notRunByCI[name]; runs == excused {
			t.Errorf("%s: run by CI: %v, and excused: %v", name, runs, excused)
		}
	}
}

// README.md has some of the same commands.
func TestReadmeAndContributingHaveTheSameCommands(t *testing.T) {
	t.Parallel()
	readme, commands := read(t, "../README.md"), contributing(t)
	for _, name := range []string{"run", "test"} {
		if !strings.Contains(readme, "\n"+commands[name]) {
			t.Errorf("README.md lacks %s", commands[name])
		}
	}
}

// contributing returns the commands of CONTRIBUTING.md by name.
func contributing(t *testing.T) map[string]string {
	t.Helper()
	commands := map[string]string{}
	for _, block := range regexp.MustCompile("(?s)```sh ([a-z]+)\n(.*?)```").FindAllStringSubmatch(read(t, "../CONTRIBUTING.md"), -1) {
		commands[block[1]] = block[2]
	}
	if len(commands) < 15 {
		t.Fatalf("only %d commands were found", len(commands))
	}
	return commands
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
