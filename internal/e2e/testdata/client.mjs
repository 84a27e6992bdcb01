// What the scripts of the TypeScript client have in common.
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.NPM_DIR}/`);
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
export const types = require('@modelcontextprotocol/sdk/types.js');

// connect begins a session with the server that the command line names, as a
// client with the given capabilities; prepare gets the client before it connects.
export async function connect(capabilities = {}, prepare = () => {}) {
    const client = new Client({ name: 'e2e', version: '1' }, { capabilities });
    prepare(client);
    await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
    return client;
}

// say tells the test something, as a line of JSON.
export function say(value) {
    process.stdout.write(JSON.stringify(value) + '\n');
}

export const text = result => result.content[0].text;
