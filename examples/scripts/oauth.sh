#!/usr/bin/env bash
# Logs in to an MCP server as a client does, with curl, step by step, and calls a
# tool. For the demo with AUTH_MODE=internal:
#
#   go run ./examples/everything
#   examples/scripts/oauth.sh [http://localhost:3232] [user id]
#
# It needs bash, curl, openssl and sed. It prints the tokens that it gets, which
# are worth nothing outside the demo.
set -euo pipefail
base=${1:-http://localhost:3232}
user=${2:-alice}
redirect=http://127.0.0.1:8976/callback # nobody has to listen: we read where it leads
jar=$(mktemp)
trap 'rm -f "$jar"' EXIT

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '   %-22s %s\n' "$1" "$2"; }
fail() { printf 'oauth.sh: %s\n' "$*" >&2 && exit 1; }

# field NAME prints a string field of a JSON object on standard input.
field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" | head -n 1; }
# hidden NAME prints a hidden field of an HTML form.
hidden() { sed -n "s/.*<input type=\"hidden\" name=\"$1\" value=\"\([^\"]*\)\".*/\1/p" | head -n 1; }
# refresh prints where a page leads by itself.
refresh() { sed -n 's/.*http-equiv="refresh" content="0;url=\([^"]*\)".*/\1/p' | sed 's/&amp;/\&/g; s/&#43;/+/g' | head -n 1; }
# header NAME prints a header of a response with headers.
header() { tr -d '\r' | sed -n "s/^$1: *//Ip" | head -n 1; }
browser() { curl -sS --max-time 10 -b "$jar" -c "$jar" "$@"; }
client() { curl -sS --max-time 10 "$@"; }

step "1. Without a token the server answers 401 and names its metadata (RFC 9728)"
initialize='{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"oauth.sh","version":"1"}}}'
mcp() { client "$base/mcp" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' "$@"; }
challenge=$(mcp -i -d "$initialize" | header WWW-Authenticate)
[[ -n $challenge ]] || fail "$base/mcp does not ask for a token: is the server running there, with AUTH_MODE=internal?"
show WWW-Authenticate "$challenge"
metadata_url=$(sed -n 's/.*resource_metadata="\([^"]*\)".*/\1/p' <<<"$challenge")
scope=$(sed -n 's/.*scope="\([^"]*\)".*/\1/p' <<<"$challenge")

step "2. The resource's metadata names its authorization server"
metadata=$(client "$metadata_url")
resource=$(field resource <<<"$metadata")
issuer=$(sed -n 's/.*"authorization_servers":\["\([^"]*\)".*/\1/p' <<<"$metadata")
show resource "$resource"
show authorization_servers "$issuer"

step "3. The authorization server's metadata names its endpoints (RFC 8414)"
metadata=$(client "$issuer/.well-known/oauth-authorization-server")
for name in authorization_endpoint token_endpoint registration_endpoint revocation_endpoint; do
	declare "$name=$(field $name <<<"$metadata")"
	show $name "${!name}"
done

step "4. We register as a public client, without a secret (RFC 7591)"
registration=$(client "$registration_endpoint" -H 'Content-Type: application/json' \
	-d "{\"client_name\":\"oauth.sh\",\"redirect_uris\":[\"$redirect\"],\"token_endpoint_auth_method\":\"none\"}")
client_id=$(field client_id <<<"$registration")
[[ -n $client_id ]] || fail "registration: $registration"
show client_id "$client_id"

step "5. We create a code verifier, and send only its hash (PKCE, RFC 7636)"
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
verifier=$(openssl rand 32 | base64url)
code_challenge=$(printf %s "$verifier" | openssl dgst -sha256 -binary | base64url)
state=$(openssl rand 16 | base64url)
show code_verifier "$verifier"
show code_challenge "$code_challenge"

step "6. In the browser, the authorization server asks for the user's consent"
page=$(browser -G "$authorization_endpoint" --data-urlencode response_type=code \
	--data-urlencode "client_id=$client_id" --data-urlencode "redirect_uri=$redirect" \
	--data-urlencode "code_challenge=$code_challenge" --data-urlencode code_challenge_method=S256 \
	--data-urlencode "resource=$resource" --data-urlencode "scope=$scope" --data-urlencode "state=$state")
auth_session=$(hidden flow <<<"$page")
[[ -n $auth_session ]] || fail "no consent page: $page"
show "authorization session" "$auth_session"
login=$(browser "$authorization_endpoint/consent" --data-urlencode "flow=$auth_session" \
	--data-urlencode "token=$(hidden token <<<"$page")" --data-urlencode decision=allow | refresh)
show "then to" "$login"

step "7. The user logs in at the (fake) identity provider, as $user"
page=$(browser "$login")
callback=$(browser "${login%%\?*}" --data-urlencode "state=$(hidden state <<<"$page")" \
	--data-urlencode "user=$user" --data-urlencode decision=login | refresh)
[[ -n $callback ]] || fail "the login did not end"
location=$(browser -i "$callback" | header Location)
show Location "$location"

step "8. The client checks state and issuer (RFC 9207), and has a code"
parameter() { sed -n "s/.*[?&]$1=\([^&]*\).*/\1/p" <<<"$location"; }
[[ $(parameter state) == "$state" ]] || fail "the state is not ours: $location"
iss=$(parameter iss)
printf -v iss %b "${iss//%/\\x}" # percent-decoded
[[ $iss == "$issuer" ]] || fail "the response is from another issuer: $location"
code=$(parameter code)
show code "$code"
show iss "$iss"

step "9. It exchanges the code and the verifier for tokens"
tokens=$(client "$token_endpoint" --data-urlencode grant_type=authorization_code --data-urlencode "code=$code" \
	--data-urlencode "code_verifier=$verifier" --data-urlencode "client_id=$client_id" \
	--data-urlencode "redirect_uri=$redirect" --data-urlencode "resource=$resource")
access_token=$(field access_token <<<"$tokens")
refresh_token=$(field refresh_token <<<"$tokens")
[[ -n $access_token ]] || fail "no token: $tokens"
show access_token "$access_token"
show refresh_token "$refresh_token"
show scope "$(field scope <<<"$tokens")"

step "10. With the token the server answers"
# call calls the echo tool; the token goes on standard input, not on the command
# line, where all users of the machine would see it.
call() {
	local token=$1 session
	authorized() { mcp -H @<(printf 'Authorization: Bearer %s' "$token") "$@"; }
	session=$(authorized -i -d "$initialize" | header Mcp-Session-Id)
	[[ -n $session ]] || fail "the server did not begin a session"
	authorized -H "Mcp-Session-Id: $session" -d '{"jsonrpc":"2.0","method":"notifications/initialized"}'
	authorized -H "Mcp-Session-Id: $session" \
		-d '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}'
	echo
}
call "$access_token"

step "11. The refresh token gives new tokens, and is replaced itself"
tokens=$(client "$token_endpoint" --data-urlencode grant_type=refresh_token \
	--data-urlencode "refresh_token=$refresh_token" --data-urlencode "client_id=$client_id")
access_token=$(field access_token <<<"$tokens")
refresh_token=$(field refresh_token <<<"$tokens")
[[ -n $access_token ]] || fail "no token: $tokens"
show access_token "$access_token"
show refresh_token "$refresh_token"
call "$access_token"

step "12. Once it is revoked, the access token is refused as well (RFC 7009)"
client "$revocation_endpoint" --data-urlencode "token=$refresh_token" --data-urlencode "client_id=$client_id"
status=401
# Within seconds on every instance: tokens are cached.
for _ in {1..20}; do
	status=$(mcp -o /dev/null -w '%{http_code}' -H @<(printf 'Authorization: Bearer %s' "$access_token") -d "$initialize")
	[[ $status == 401 ]] && break
	sleep 0.5
done
show "status of a request" "$status"
[[ $status == 401 ]] || fail "the revoked token still works"
