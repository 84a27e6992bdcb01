// Package browsertest has the tests that need a real browser. It is a module of
// its own, so that what drives the browser is nobody's dependency.
//
// Without Chromium on the PATH the tests are skipped, or fail if REQUIRE_ALL is
// 1. They write pictures of the pages into the directory that SCREENSHOTS names.
package browsertest
