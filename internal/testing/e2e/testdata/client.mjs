// What the scripts have in common: the clients of the TypeScript SDK, both the
// package of its first version and that of its second, under one interface.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.env.NPM_DIR}/`);
// How to connect: with which package, and to which protocol or transport.
const [, , url, kind = 'sdk'] = process.argv;

// The schemas by which version 1 knows the methods; version 2 knows their names.
const schemas = {
    'sampling/createMessage': 'CreateMessageRequestSchema',
    'elicitation/create': 'ElicitRequestSchema',
    'roots/list': 'ListRootsRequestSchema',
    'notifications/message': 'LoggingMessageNotificationSchema',
    'notifications/resources/updated': 'ResourceUpdatedNotificationSchema',
    'notifications/resources/list_changed': 'ResourceListChangedNotificationSchema',
    'notifications/tools/list_changed': 'ToolListChangedNotificationSchema',
};

function version1(capabilities) {
    const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const { SSEClientTransport } = require('@modelcontextprotocol/sdk/client/sse.js');
    const types = require('@modelcontextprotocol/sdk/types.js');
    const client = new Client({ name: 'e2e', version: '1' }, { capabilities });
    return Object.assign(client, {
        newTransport: options => new (kind === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport)(new URL(url), options),
        answer: (method, f) => client.setRequestHandler(types[schemas[method]], f),
        hear: (method, f) => client.setNotificationHandler(types[schemas[method]], f),
        call: (name, args = {}, options) => client.callTool({ name, arguments: args }, undefined, options),
    });
}

function version2(capabilities) {
    const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');
    const mode = kind === '2026-07-28' ? { pin: kind } : kind === 'auto' ? kind : 'legacy';
    const client = new Client({ name: 'e2e', version: '1' }, { capabilities, versionNegotiation: { mode } });
    return Object.assign(client, {
        newTransport: options => new StreamableHTTPClientTransport(new URL(url), options),
        answer: (method, f) => client.setRequestHandler(method, f),
        hear: (method, f) => client.setNotificationHandler(method, f),
        call: (name, args = {}, options) => client.callTool({ name, arguments: args }, options),
    });
}

// Whether the protocol has sessions.
export const sessions = kind !== '2026-07-28' && kind !== 'auto';
// Whether the caller has to ask for each page of a list: version 1.
export const pages = kind === 'sdk' || kind === 'sse';
// Whether each call has a stream of its own.
export const streamable = kind !== 'sse';

// create returns a client with the given capabilities, and a transport for it
// with options of its own.
export function create(capabilities = {}, options) {
    const client = pages ? version1(capabilities) : version2(capabilities);
    return { client, transport: client.newTransport(options), call: client.call };
}

// connect begins a session, or what takes its place, with the server that the
// command line names, as a client with the given capabilities; prepare gets the
// client before it connects.
export async function connect(capabilities = {}, prepare = () => {}) {
    const client = pages ? version1(capabilities) : version2(capabilities);
    prepare(client);
    await client.connect(client.newTransport());
    return client;
}

// leave ends the session, if there is one, and the connection.
export async function leave(client) {
    if (sessions && streamable) await client.transport.terminateSession();
    await client.close();
}

// say tells the test something, as a line of JSON.
export function say(value) {
    process.stdout.write(JSON.stringify(value) + '\n');
}

// ask has the test do something, and returns what it says when it is done.
export async function ask(wants, text) {
    const lines = createInterface({ input: process.stdin });
    const done = new Promise(resolve => lines.once('line', resolve));
    say({ wants, text });
    const said = await done;
    lines.close();
    return said;
}

export const text = result => result.content[0].text;
