package main

import (
	"fmt"
	"strings"

	"github.com/mcpfleet/mcpfleet/examples/internal/demo"
)

// defaultURL is what the commands in README.md call.
const defaultURL = "http://localhost:3232"

// curlEcho is the shell script that calls the echo tool at [defaultURL].
// README.md has the same lines, and CI runs them from there.
const curlEcho = `mcp() { curl -s http://localhost:3232/mcp -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' "$@"; }
session=$(mcp -i -d '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}' | tr -d '\r' | awk 'tolower($1) == "mcp-session-id:" {print $2}')
mcp -H "Mcp-Session-Id: $session" -d '{"jsonrpc":"2.0","method":"notifications/initialized"}'
mcp -H "Mcp-Session-Id: $session" -d '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}'; echo
`

// curlEchoAt is [curlEcho] for the server at base.
func curlEchoAt(base string) string { return strings.ReplaceAll(curlEcho, defaultURL, base) }

// printNextSteps prints what to do with the program, for whoever started it in a
// terminal. The log goes to stderr.
func printNextSteps(base string, auth demo.AuthConfig) {
	if auth.Mode == demo.AuthServer {
		fmt.Printf("Authorization server %s, for %s\n", base, strings.Join(auth.Resources, ", "))
		return
	}
	fmt.Printf("MCP server %s/mcp (Streamable HTTP); %s/ says more about it.\n", base, base)
	switch auth.Mode {
	case demo.AuthInternal:
		fmt.Printf("Clients log in with a browser, as any user you like. To see it step by step, run in another terminal:\n\n%s %s\n", oauthScript, base)
	case demo.AuthExternal:
		fmt.Printf("Clients log in at %s\n", auth.ServerURL)
	case demo.AuthNone:
		fmt.Printf("To call its echo tool, run in another terminal:\n\n%s\n", curlEchoAt(base))
	}
}

// oauthScript logs in and calls a tool, by curl.
const oauthScript = "examples/scripts/oauth.sh"
