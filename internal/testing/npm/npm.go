// Package npm gives tests the programs of npm: Node.js itself, both TypeScript
// SDKs and the Inspector, as package-lock.json pins them.
package npm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Dir returns the directory that has node_modules, which it installs if they
// are missing or older than the lock file. Without npm or its registry the test
// is skipped, or fails if REQUIRE_ALL is 1.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := install()
	if err != nil {
		required(t, err)
	}
	return dir
}

// Node returns a command that runs Node.js, the pinned one if the platform has
// it and else the one on the PATH. Scripts find the packages below the
// directory that the variable NPM_DIR names. The command is killed when the
// test ends.
func Node(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	dir := Dir(t)
	program := filepath.Join(dir, "node_modules", ".bin", "node")
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("node"); err != nil {
			required(t, err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "NPM_DIR="+dir)
	return cmd
}

// install is called once for each test process; of several processes one at a
// time installs.
var install = sync.OnceValues(func() (dir string, err error) {
	if dir, err = find(); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if fresh(dir) {
		return dir, nil
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return dir, nil
})

// find returns this directory of the module that is being tested: tests run in
// the directory of their package.
func find() (string, error) {
	root, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		dir := filepath.Join(root, "internal", "testing", "npm")
		if _, err := os.Stat(filepath.Join(dir, "package-lock.json")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(root)
		if parent == root {
			return "", errors.New("internal/testing/npm/package-lock.json not found")
		}
		root = parent
	}
}

// fresh reports whether what is installed is what the lock file says.
func fresh(dir string) bool {
	wanted, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return false
	}
	installed, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	return err == nil && installed.ModTime().After(wanted.ModTime())
}

func required(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}
