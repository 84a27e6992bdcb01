// Logs in as a client of the TypeScript SDK does, calls a tool, refreshes its
// token and calls again. The test is the user's browser.
import assert from 'node:assert/strict';
import { ask, create, leave, say, text } from './client.mjs';

const redirectUrl = 'http://127.0.0.1:8976/callback';
let client, tokens, verifier, request, state, discovered;
const provider = {
    redirectUrl,
    clientMetadata: { client_name: 'e2e', redirect_uris: [redirectUrl], token_endpoint_auth_method: 'none' },
    clientInformation: () => client,
    saveClientInformation: information => { client = information; },
    tokens: () => tokens,
    saveTokens: saved => { tokens = saved; },
    state: () => state = crypto.randomUUID(),
    redirectToAuthorization: url => { request = url; },
    saveCodeVerifier: saved => { verifier = saved; },
    codeVerifier: () => verifier,
    saveDiscoveryState: saved => { discovered = saved; },
    discoveryState: () => discovered,
};

const first = create({}, { authProvider: provider });
await assert.rejects(first.client.connect(first.transport), /Unauthorized/);
const back = new URL(await ask('login', request.href));
assert.equal(back.searchParams.get('state'), state);
await first.transport.finishAuth(back.searchParams.get('code'), back.searchParams.get('iss') ?? undefined);

const second = create({}, { authProvider: provider });
await second.client.connect(second.transport);
assert.equal(text(await second.call('echo', { message: 'hi' })), 'Echo: hi');

// A token that is not accepted any more is exchanged for another without the user.
const before = tokens;
tokens = { ...tokens, access_token: 'expired' };
assert.equal(text(await second.call('echo', { message: 'again' })), 'Echo: again');
assert.notEqual(tokens.access_token, before.access_token);
assert.notEqual(tokens.refresh_token, before.refresh_token);
await leave(second.client);
say({ done: true });
