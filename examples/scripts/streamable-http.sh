#!/usr/bin/env bash
# A whole conversation over Streamable HTTP, with curl, step by step: each message
# that the client sends (-->) and each that it gets (<--). For the demo without
# authentication:
#
#   AUTH_MODE=none go run ./examples/everything
#   examples/scripts/streamable-http.sh [http://localhost:3232]
#
# It needs bash, curl and sed. debug-mcp-flow.sh has the same conversation and
# shows what lies in Redis after each step; oauth.sh shows how a client logs in.
set -euo pipefail
base=${1:-http://localhost:3232}
work=$(mktemp -d)
stream_pid=
finish() {
	[[ -z $stream_pid ]] || kill "$stream_pid" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
explain() { printf '   %s\n' "$@"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2 && exit 1; }

# inspect NAME is called after each step. debug-mcp-flow.sh has one of its own.
declare -F inspect >/dev/null || inspect() { :; }

# short shows a message up to a length that fits a terminal, and no icons.
short() { sed 's/data:image[^"]*/data:.../g' | cut -c 1-300; }

# mcp sends a request to the endpoint: the headers that every client sends, and
# what else is given to curl.
mcp() {
	curl -sS --max-time 60 "$base/mcp" -H 'Content-Type: application/json' \
		-H 'Accept: application/json, text/event-stream' "${headers[@]}" "$@"
}
headers=(-H 'MCP-Protocol-Version: 2025-11-25')

# show_sent METHOD MESSAGE
show_sent() { printf '   --> %s %s\n' "$1" "$2" | short; }

# post MESSAGE sends a message whose response is no stream. The response is in
# $response afterwards, and its status in $status.
post() {
	show_sent POST "$1"
	response=$(mcp -i -d "$1" | tr -d '\r')
	status=$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' <<<"$response")
	# Of a stream with a single event, only the message.
	printf '   <-- %s %s\n' "$status" "$(sed '1,/^$/d; /^event:/d; s/^data: *//' <<<"$response")" | short
}

# header NAME prints a header of $response.
header() { sed -n "s/^$1: *//Ip" <<<"$response" | head -n 1; }

# open_stream METHOD [CURL OPTIONS] sends a request whose response is a stream of
# server-sent events.
open_stream() {
	rm -f "$work/stream" && mkfifo "$work/stream"
	mcp -N -X "$@" >"$work/stream" 2>/dev/null &
	stream_pid=$!
	exec 3<"$work/stream"
}

# post_stream MESSAGE sends a message whose response is a stream.
post_stream() {
	show_sent POST "$1"
	open_stream POST -d "$1"
}

# next_event reads the next event of the stream into $id and $data.
next_event() {
	local line
	id='' data=''
	while IFS= read -r -t 30 -u 3 line; do
		line=${line%$'\r'}
		case $line in
		'id:'*) id=${line#id:} id=${id# } ;;
		'data:'*) data=${line#data:} data=${data# } ;;
		'') [[ -z $id$data ]] || break ;;
		esac
	done
	[[ -n $id$data ]] || fail "the stream ended too early"
	printf '   <-- event %s %s\n' "$id" "${data:-(no data, only an id to resume from)}" | short
}

# wait_event TEXT reads events up to one that has TEXT in it.
wait_event() {
	next_event
	while [[ $data != *"$1"* ]]; do next_event; done
}

# break_stream ends the connection of the stream, as a bad network does.
break_stream() {
	kill "$stream_pid" 2>/dev/null || true
	wait "$stream_pid" 2>/dev/null || true
	stream_pid=
	exec 3<&-
}

step "1. initialize begins a session"
explain "The client says what it can do, here be asked for input. The server answers with what it" \
	"can do, and with the session's id in a header, which every later request names."
post '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"curl","version":"1"}}}'
session=$(header Mcp-Session-Id)
[[ -n $session ]] || fail "$base/mcp began no session: is the demo running there, with AUTH_MODE=none?"
explain "Mcp-Session-Id: $session"
headers+=(-H "Mcp-Session-Id: $session")
post '{"jsonrpc":"2.0","method":"notifications/initialized"}'
[[ $status == 202 ]] || fail "the notification was not accepted"
inspect initialize

step "2. A plain call is answered with JSON"
explain "Whichever instance gets the request executes it. It leaves nothing behind."
post '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}'
[[ $response == *'"Echo: hello"'* ]] || fail "echo did not answer"
inspect call

step "3. A call that reports its progress is answered with a stream"
explain "Each event has an id. We read two reports and then break the connection."
post_stream '{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"longRunningOperation","arguments":{"duration":2,"steps":4},"_meta":{"progressToken":"p"}}}'
wait_event '"progress":1'
wait_event '"progress":2'
break_stream
inspect broken

step "4. The stream is resumed by the id of the last event"
explain "The call has gone on meanwhile. Any instance can give the rest, each event once."
show_sent GET "Last-Event-ID: $id"
open_stream GET -H "Last-Event-ID: $id"
wait_event '"progress":3'
wait_event '"result"'
break_stream
inspect resumed

step "5. The server asks the client"
explain "elicitInputs has the user fill in a form: a request of the server, with an id of its own, on" \
	"the stream of the call. The client's response is a POST, which any instance accepts."
post_stream '{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"elicitInputs","arguments":{}}}'
wait_event '"elicitation/create"'
request_id=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' <<<"$data")
[[ -n $request_id ]] || fail "the request has no id"
inspect asked
post "{\"jsonrpc\":\"2.0\",\"id\":\"$request_id\",\"result\":{\"action\":\"accept\",\"content\":{\"name\":\"Ada\"}}}"
[[ $status == 202 ]] || fail "the response was not accepted"
wait_event '"result"'
break_stream
inspect answered

step "6. Notifications arrive on the stream of a GET"
explain "The client subscribes to a resource and opens the session's own stream. The server says when" \
	"a list changes, as here the tools, and when the resource does, in the demo every 10 seconds."
post '{"jsonrpc":"2.0","id":5,"method":"resources/subscribe","params":{"uri":"test://static/resource/1"}}'
show_sent GET ''
open_stream GET
next_event
post '{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"toggleTool","arguments":{"on":true}}}'
wait_event 'notifications/tools/list_changed'
wait_event 'notifications/resources/updated'
inspect subscribed
break_stream
post '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"toggleTool","arguments":{"on":false}}}'

step "7. DELETE ends the session"
show_sent DELETE ''
status=$(mcp -o /dev/null -w '%{http_code}' -X DELETE)
printf '   <-- %s\n' "$status"
[[ $status == 204 ]] || fail "the session was not ended"
post '{"jsonrpc":"2.0","id":8,"method":"ping"}'
[[ $status == 404 ]] || fail "the session lives on"
inspect deleted

step "8. Protocol 2026-07-28 has no sessions"
explain "Each request brings along who the client is and what it can do, and names its method in headers."
headers=(-H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/call' -H 'Mcp-Name: echo')
meta='"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"curl","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}'
post "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"message\":\"hello\"},$meta}}"
[[ $response == *'"Echo: hello"'* ]] || fail "echo did not answer"
inspect stateless
