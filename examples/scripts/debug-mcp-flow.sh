#!/usr/bin/env bash
# The conversation of streamable-http.sh, and after each step what it has changed
# in Redis. By default the demo has an embedded Redis of its own; give it a real
# one, and this script the same:
#
#   redis-server --port 6379 --save ''
#   REDIS_URL=redis://localhost:6379 AUTH_MODE=none go run ./examples/everything
#   REDIS_URL=redis://localhost:6379 examples/scripts/debug-mcp-flow.sh [http://localhost:3232]
#
# It needs redis-cli besides bash, curl and sed, and REDIS_PREFIX if the demo has
# it. docs/redis.md lists all keys, with commands to inspect a fleet.
#
# A line with + is new, one with - has gone; a value that changes has both.
set -euo pipefail
REDIS_URL=${REDIS_URL:-redis://localhost:6379}
prefix=${REDIS_PREFIX:-mcp}
redis() { redis-cli -u "$REDIS_URL" "$@" 2>/dev/null; }

# dump prints a line for each value in the keys of the session, and of the fleet.
dump() {
	{
		redis --scan --pattern "$prefix:{$session}:*"
		redis --scan --pattern "$prefix:{bus}"
		redis --scan --pattern "$prefix:{inst:*}:inbox"
	} | while read -r key; do
		case $(redis TYPE "$key") in
		hash) redis HGETALL "$key" | pairs ;;
		zset) redis ZRANGE "$key" 0 -1 WITHSCORES | pairs ;;
		list) redis LRANGE "$key" 0 -1 ;;
		stream) redis --no-raw XREVRANGE "$key" + - COUNT 20 | entries ;;
		string) redis GET "$key" ;;
		esac | sed "s|^|$key  |"
	done | cut -c 1-300 | sort
}

# pairs joins each two lines: a field and its value.
pairs() { while IFS= read -r name && IFS= read -r value; do printf '%s = %s\n' "$name" "$value"; done; }

# entries joins the lines of each entry of a stream: its id, fields and values.
entries() {
	awk '
		/^ *[0-9]+\) 1\) "[0-9]+-[0-9]+"$/ { if (n++) print "" }
		{ gsub(/^[ 0-9)]*"|"$/, ""); gsub(/\\"/, "\""); printf "%s ", $0 }
		END { print "" }'
}

# inspect NAME is called by streamable-http.sh after each step.
inspect() {
	echo
	meaning "$1"
	dump >"$work/after"
	touch "$work/before"
	comm -3 "$work/before" "$work/after" | sed $'s/^\\([^\\t]\\)/   - \\1/; s/^\\t/   + /'
	mv "$work/after" "$work/before"
}

# meaning NAME explains what one sees after a step.
meaning() {
	case $1 in
	initialize) explain \
		"In Redis: the record of the session. Instances that never saw it serve its next request from that." \
		"Beside it the bus, and the inbox of each instance, which exists as long as the instance lives." ;;
	call) explain "In Redis: nothing. A plain call leaves no trace, and mostly does not even ask Redis." ;;
	broken) explain \
		"In Redis: the stream of the call, with the instance that writes it and the connection that reads it," \
		"and its log, where each event has a random nonce in front. An event's id names its offset and its nonce." ;;
	resumed) explain "In Redis: the stream has ended. Its log can still be read for five minutes." ;;
	asked) explain "In Redis: the stream of the second call. The server's request is an event like any other." ;;
	answered) explain \
		"In Redis: the stream has ended. If another instance than the one that asked got the response, it" \
		"forwarded it through the inbox of that one, whose name is the beginning of the request's id." ;;
	subscribed) explain \
		"In Redis: the subscription; the changed list, on the bus, for all instances; and in the log of the" \
		"stream g, which is the one of the GET, what was sent to this session alone." ;;
	deleted) explain "In Redis: nothing is left of the session. By the bus all instances learn that it has ended." ;;
	stateless) explain "In Redis: nothing. There is no session." ;;
	*) fail "no explanation of $1" ;;
	esac
}

redis PING >/dev/null || { echo "${0##*/}: there is no Redis at \$REDIS_URL: see the first lines of this script" >&2 && exit 1; }
source "$(dirname "${BASH_SOURCE[0]}")/streamable-http.sh"
