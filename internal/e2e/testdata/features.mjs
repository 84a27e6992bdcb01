// Uses every feature of examples/everything once, and fails if one is not as it
// should be.
import assert from 'node:assert/strict';
import { connect, say, text, types } from './client.mjs';

const client = await connect({ sampling: {}, elicitation: {} }, client => {
    client.setRequestHandler(types.CreateMessageRequestSchema, ({ params }) => ({
        model: 'e2e',
        role: 'assistant',
        content: { type: 'text', text: `sampled ${params.messages[0].content.text}` },
    }));
    client.setRequestHandler(types.ElicitRequestSchema, ({ params }) => {
        assert.equal(params.requestedSchema.required[0], 'name');
        return { action: 'accept', content: { name: 'Ada', integer: 7 } };
    });
});
const call = (name, args = {}, options) => client.callTool({ name, arguments: args }, undefined, options);

assert.equal(client.getServerVersion().name, 'example-servers/feature-reference');
await client.ping();

const { tools } = await client.listTools();
assert.deepEqual(tools.map(tool => tool.name), [
    'add', 'annotatedMessage', 'echo', 'elicitInputs', 'getResourceReference', 'getTinyImage',
    'longRunningOperation', 'mcp_apps_hello_world', 'sampleLLM',
]);
assert.equal(text(await call('echo', { message: 'hi' })), 'Echo: hi');
assert.equal(text(await call('add', { a: 1, b: 2.5 })), 'The sum of 1 and 2.5 is 3.5.');
assert.equal((await call('getTinyImage')).content[1].type, 'image');
assert.equal((await call('annotatedMessage', { messageType: 'error', includeImage: true })).content[0].annotations.priority, 1);
assert.equal((await call('getResourceReference', { resourceId: 3 })).content[1].resource.uri, 'test://static/resource/3');
assert.equal((await call('mcp_apps_hello_world')).structuredContent.greeting, 'Hello from MCP Apps!');
assert.match(text(await call('sampleLLM', { prompt: 'this' })), /^LLM sampling result: sampled .*this$/);
assert.match(text(await call('elicitInputs')), /"name": "Ada"/);
assert.equal((await call('echo')).isError, true);

const progress = [];
const operation = await call('longRunningOperation', { duration: 0.5, steps: 5 }, { onprogress: p => progress.push(p.progress) });
assert.match(text(operation), /^Long running operation completed/);
assert.deepEqual(progress, [1, 2, 3, 4, 5]);

// Cancelled when it has begun, wherever that was.
const abort = new AbortController();
const began = new Promise(resolve => {
    const running = call('longRunningOperation', { duration: 60, steps: 600 }, { signal: abort.signal, onprogress: resolve });
    running.catch(() => {});
    running.then(() => assert.fail('a cancelled call has a result'), () => {});
});
await began;
abort.abort('no longer wanted');

let resources = [];
let pages = 0;
for (let cursor; ; pages++) {
    const page = await client.listResources({ cursor });
    resources = resources.concat(page.resources);
    cursor = page.nextCursor;
    if (!cursor) break;
}
assert.ok(pages >= 9, 'resources come in pages');
assert.equal(new Set(resources.map(resource => resource.uri)).size, 101);
assert.match((await client.readResource({ uri: 'test://static/resource/1' })).contents[0].text, /^Resource 1:/);
assert.ok((await client.readResource({ uri: 'test://static/resource/2' })).contents[0].blob);
await assert.rejects(client.readResource({ uri: 'test://static/resource/101' }), { code: -32002 });
assert.equal((await client.listResourceTemplates()).resourceTemplates[0].uriTemplate, 'test://static/resource/{id}');
await client.subscribeResource({ uri: 'test://static/resource/1' });
await client.unsubscribeResource({ uri: 'test://static/resource/1' });

assert.equal((await client.listPrompts()).prompts.length, 3);
const prompt = await client.getPrompt({ name: 'complex_prompt', arguments: { temperature: '0.5', style: 'formal' } });
assert.match(prompt.messages[0].content.text, /temperature=0.5, style=formal/);
const completion = await client.complete({
    ref: { type: 'ref/prompt', name: 'complex_prompt' },
    argument: { name: 'style', value: 'f' },
});
assert.deepEqual(completion.completion.values, ['formal', 'friendly']);

const logged = new Promise(resolve => client.setNotificationHandler(types.LoggingMessageNotificationSchema, resolve));
await client.setLoggingLevel('debug');
assert.match((await logged).params.data, /debug/);

await client.transport.terminateSession();
await client.close();
say('every feature');
