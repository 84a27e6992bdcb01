// Runs a call whose process dies, and says what becomes of it and of the session.
import { connect, say, text } from './client.mjs';

const client = await connect();
client.onerror = error => say({ error: String(error) });
say({ connected: true });
const args = { name: 'longRunningOperation', arguments: { duration: 60, steps: 600 } };
try {
    const result = await client.callTool(args, undefined, {
        timeout: 300_000,
        onprogress: ({ progress }) => say({ progress }),
    });
    say({ outcome: 'result', text: text(result) });
} catch (error) {
    say({ outcome: 'error', code: error.code, text: error.message });
}
say({ echo: text(await client.callTool({ name: 'echo', arguments: { message: 'still here' } })) });
await client.transport.terminateSession();
await client.close();
