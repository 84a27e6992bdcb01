(() => {
	const problems = [];
	const want = (what, got, wanted) => {
		if (got !== wanted) problems.push(`${what}: ${got}, want ${wanted}`);
	};
	const post = (server, token, session, message) => fetch(server + "/mcp", {
		method: "POST",
		headers: {
			"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25",
			...(token && { "Authorization": "Bearer " + token }), ...(session && { "Mcp-Session-Id": session }),
		},
		body: JSON.stringify({ jsonrpc: "2.0", ...message }),
	});
	// An answer is JSON, or a stream whose last event has it.
	const read = async (response) => {
		const text = await response.text();
		const data = text.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
		return JSON.parse(data.length ? data[data.length - 1] : text);
	};
	const initialize = {
		id: 1, method: "initialize",
		params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "page", version: "1" } },
	};
	const echo = { id: 2, method: "tools/call", params: { name: "echo", arguments: { text: "hello" } } };

	return {
		async allowed(server, token) {
			// Who has no token is told where to get one.
			let res = await post(server, "", "", initialize);
			want("without a token", res.status, 401);
			const found = /resource_metadata="([^"]*)"/.exec(res.headers.get("WWW-Authenticate") || "");
			if (!found) return ["the challenge cannot be read"];
			const resource = await (await fetch(found[1])).json();
			want("resource", resource.resource, server + "/mcp");
			const issuer = resource.authorization_servers[0];
			const metadata = await (await fetch(issuer + "/.well-known/oauth-authorization-server")).json();
			want("issuer", metadata.issuer, issuer);
			res = await fetch(metadata.registration_endpoint, {
				method: "POST", headers: { "Content-Type": "application/json" },
				body: JSON.stringify({ redirect_uris: [location.origin.replace("http:", "https:") + "/callback"], token_endpoint_auth_method: "none" }),
			});
			want("register", res.status, 201);
			res = await fetch(metadata.token_endpoint, { method: "POST", body: new URLSearchParams({ client_id: "known", grant_type: "none" }) });
			want("token", (await res.json()).error, "unsupported_grant_type");

			res = await post(server, token, "", initialize);
			want("initialize", res.status, 200);
			const session = res.headers.get("Mcp-Session-Id");
			if (!session) return problems.concat("the session id cannot be read");
			want("protocol", (await read(res)).result.protocolVersion, "2025-11-25");
			res = await post(server, token, session, { method: "notifications/initialized" });
			want("initialized", res.status, 202);
			for (let i = 0; i < 4; i++) { // on every instance
				res = await post(server, token, session, echo);
				want("call", (await read(res)).result.content[0].text, "hello");
			}
			const headers = { "Authorization": "Bearer " + token, "Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25" };
			res = await fetch(server + "/mcp", { method: "DELETE", headers });
			want("delete", res.ok, true);
			res = await post(server, token, session, echo);
			want("call afterwards", res.status, 404);
			return problems;
		},
		async refused(server, token) {
			for (const [what, request] of Object.entries({
				initialize: () => post(server, token, "", initialize),
				"without a token": () => post(server, "", "", initialize),
				get: () => fetch(server + "/mcp", { headers: { "Authorization": "Bearer " + token } }),
				simple: () => fetch(server + "/mcp", { method: "POST", body: "{}" }),
				authorize: () => fetch(server + "/authorize?client_id=known"),
				consent: () => fetch(server + "/authorize/consent", { method: "POST", body: new URLSearchParams({ decision: "allow" }) }),
				"fake login": () => fetch(server + "/fakeupstreamauth/authorize?state=x"),
			})) {
				try {
					problems.push(`${what}: the answer can be read: ${(await request()).status}`);
				} catch (error) {
					if (!(error instanceof TypeError)) throw error;
				}
			}
			return problems;
		},
	};
})()
