// Uses the tools that the command line names of a server that was written for the SDK's
// handler, one after the other, and says how each call ends and what was heard.
import { createRequire } from 'node:module';
import { connect, leave, say, sessions, text } from './client.mjs';

const { z } = createRequire(`${process.env.NPM_DIR}/`)('zod');
const level = 'io.modelcontextprotocol/logLevel';
let logged = 0;

function sample({ params }) {
    const [content] = [params.messages.at(-1).content].flat();
    const said = params.tools
        ? { type: 'tool_use', id: '1', name: params.tools[0].name, input: {} }
        : { type: 'text', text: `sampled ${content.text}` };
    return { model: 'e2e', role: 'assistant', content: said };
}

const capabilities = { sampling: { tools: {} }, elicitation: { form: {}, url: {} }, roots: {} };
const client = await connect(capabilities, client => {
    client.answer('sampling/createMessage', sample);
    client.answer('elicitation/create', ({ params }) =>
        params.mode === 'url' ? { action: 'accept' } : { action: 'accept', content: { name: 'Ada' } });
    client.answer('roots/list', () => ({ roots: [{ uri: 'file:///desk', name: 'desk' }] }));
    client.hear('notifications/message', () => { logged++; });
});
if (sessions) await client.setLoggingLevel('info');

async function use(tool) {
    if (tool === 'acme/word') {
        return (await client.request({ method: tool, params: { word: 'word' } }, z.looseObject({ word: z.string() }))).word;
    }
    let progress = 0;
    logged = 0;
    const params = { name: tool, arguments: tool === 'typed' ? { a: 1, b: 2 } : {} };
    if (!sessions) params._meta = { [level]: 'info' };
    // The client itself reports each round of questions, with a message.
    const result = await client.callTool(params, { onprogress: ({ message }) => { if (!message) progress++; } });
    return { text: text(result), progress, logged };
}

for (const tool of process.argv.slice(4)) {
    try {
        const used = await use(tool);
        say(typeof used === 'string' ? { text: used } : used);
    } catch (error) {
        say({ error: error.message });
    }
}
await leave(client);
