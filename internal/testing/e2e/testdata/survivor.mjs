// Runs a call whose process dies, and says what becomes of it and of the session.
import { connect, leave, say, text } from './client.mjs';

const client = await connect();
client.onerror = error => say({ error: String(error) });
say({ connected: true });
const args = { duration: 60, steps: 600 };
try {
    const result = await client.call('longRunningOperation', args, {
        timeout: 300_000,
        onprogress: ({ progress }) => say({ progress }),
    });
    say({ outcome: 'result', text: text(result) });
} catch (error) {
    say({ outcome: 'error', code: error.code, text: error.message });
}
say({ echo: text(await client.call('echo', { message: 'still here' })) });
await leave(client);
