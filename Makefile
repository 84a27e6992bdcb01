# The commands of CONTRIBUTING.md, which says more about each, and nothing else.
# Choose others with PKG, TEST and FUZZ: make one PKG=./auth TEST=TestT27_StepUp

PKG = ./mcp
TEST = TestCloseSSEStream
FUZZ = FuzzDecode

.PHONY: help run watch one suite build lint test redis race cover fuzz conformance browser bench ci flow debug

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 13

run: ## the demo at http://localhost:3232/mcp, without authentication
	AUTH_MODE=none go run ./examples/everything

watch: ## the demo, built and started again whenever a file is saved
	git ls-files '*.go' '*.lua' '*.html' '*.css' | AUTH_MODE=none DRAIN_DELAY=0s entr -nr go run ./examples/everything

one: ## one test: PKG, TEST
	go test $(PKG) -run '^$(TEST)$$' -count 1 -v

suite: ## the tests of one package: PKG
	go test $(PKG)

build: ## all packages
	go build ./...

lint: ## gofmt, go vet, staticcheck
	.ci/lint

test: ## all tests
	go test ./...

redis: PKG = ./internal/sessionstore
redis: ## the tests of one package, where no Redis is a failure: PKG
	REQUIRE_ALL=1 go test $(PKG)

race: PKG = ./...
race: ## all tests with the race detector, or those of PKG
	go test -race $(PKG)

cover: PKG = ./...
cover: ## which lines all tests execute, or those of PKG, in out/cover.html
	mkdir -p out
	go test -coverprofile out/cover.out $(PKG)
	go tool cover -html out/cover.out -o out/cover.html

fuzz: PKG = ./internal/jsonrpcmsg
fuzz: ## one fuzz test for ten seconds: PKG, FUZZ
	go test $(PKG) -run '^$$' -fuzz '^$(FUZZ)$$' -fuzztime 10s

conformance: ## the official conformance suites, through three processes
	.ci/conformance 1

browser: ## the pages of the demo in Chromium
	cd internal/testing/browsertest && go test ./...

bench: ## what a call costs, beside the SDK's handler
	go test ./mcp -run '^$$' -bench '^BenchmarkCall$$' -benchtime 2000x

ci: ## all that CI does
	.ci/run

flow: ## the demo with its log readable and complete
	LOG_LEVEL=debug LOG_FORMAT=text AUTH_MODE=none go run ./examples/everything

debug: ## the demo in a debugger
	AUTH_MODE=none go run github.com/go-delve/delve/cmd/dlv@v1.27.2 debug ./examples/everything
