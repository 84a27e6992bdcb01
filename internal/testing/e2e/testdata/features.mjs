// Uses every feature of examples/everything once, and fails if one is not as it
// should be. The test publishes an update when it is asked to.
import assert from 'node:assert/strict';
import { ask, connect, leave, pages, say, sessions, streamable, text } from './client.mjs';

const tools = [
    'add', 'annotatedMessage', 'echo', 'elicitInputs', 'elicitUrl', 'getResourceLinks', 'getResourceReference',
    'getTinyAudio', 'getTinyImage', 'getWeather', 'guessNumber', 'listRoots', 'longRunningOperation', 'mcp_apps_hello_world',
    'mcp_apps_server_time', 'sampleLLM', 'sampleWithTools', 'toggleResource', 'toggleTool',
];
const capabilities = { sampling: { tools: {} }, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };

// The model asks for the weather if it can, and repeats what it was told last.
function sample({ params }) {
    const last = [params.messages.at(-1).content].flat()[0];
    const say = text => ({ model: 'e2e', role: 'assistant', content: { type: 'text', text: `sampled ${text}` } });
    if (last.type === 'tool_result') return say(last.content[0].text);
    if (!params.tools) return say(last.text);
    const content = { type: 'tool_use', id: '1', name: 'getWeather', input: { city: 'Oslo' } };
    return { model: 'e2e', role: 'assistant', stopReason: 'toolUse', content };
}

// next returns a promise of the next notification of a kind for which ok holds.
const heard = {};
const next = (method, ok = () => true) => new Promise(resolve => {
    heard[method] = ({ params }) => ok(params) && resolve(params);
});

const client = await connect(capabilities, client => {
    client.answer('sampling/createMessage', sample);
    client.answer('elicitation/create', ({ params }) => {
        if (params.mode === 'url') return { action: 'accept' };
        assert.equal(params.requestedSchema.required[0], 'name');
        return { action: 'accept', content: { name: 'Ada', integer: 7 } };
    });
    client.answer('roots/list', () => ({ roots: [{ uri: 'file:///desk', name: 'desk' }] }));
    for (const method of [
        'notifications/message', 'notifications/resources/updated', 'notifications/resources/list_changed',
        'notifications/tools/list_changed',
    ]) {
        client.hear(method, notification => heard[method]?.(notification));
    }
});
const { call } = client;

assert.equal(client.getServerVersion().name, 'example-servers/feature-reference');
assert.match(client.getInstructions(), /toggleResource/);
if (sessions) await client.ping();

// Tools.
const list = async () => (await client.listTools()).tools.map(tool => tool.name);
assert.deepEqual(await list(), tools);
assert.equal(text(await call('echo', { message: 'hi' })), 'Echo: hi');
assert.equal(text(await call('add', { a: 1, b: 2.5 })), 'The sum of 1 and 2.5 is 3.5.');
assert.equal((await call('getTinyImage')).content[1].type, 'image');
assert.equal((await call('getTinyAudio')).content[1].mimeType, 'audio/wav');
assert.equal((await call('annotatedMessage', { messageType: 'error', includeImage: true })).content[0].annotations.priority, 1);
assert.equal((await call('getResourceReference', { resourceId: 3 })).content[1].resource.uri, 'test://static/resource/3');
assert.equal((await call('getResourceLinks', { count: 2 })).content[2].uri, 'test://static/resource/2');
assert.equal((await call('getWeather', { city: 'Oslo' })).structuredContent.country, 'Norway');
assert.equal((await call('mcp_apps_hello_world')).structuredContent.greeting, 'Hello from MCP Apps!');
assert.equal((await call('echo')).isError, true);

// Questions of the server to the client.
assert.match(text(await call('sampleLLM', { prompt: 'this' })), /^LLM sampling result: sampled .*this$/);
assert.match(text(await call('sampleWithTools', { prompt: 'Is it cold?' })), /"conditions":"Partly cloudy"/);
assert.match(text(await call('elicitInputs')), /"name": "Ada"/);
assert.match(text(await call('elicitUrl')), /^The user agreed to open https:/);
assert.match(text(await call('listRoots')), /- desk: file:\/\/\/desk/);

// Progress.
const progress = [];
const operation = await call('longRunningOperation', { duration: 0.5, steps: 5 }, { onprogress: p => progress.push(p.progress) });
assert.match(text(operation), /^Long running operation completed/);
// On a stream for everything the last steps and the result may come in one piece, and
// then version 1 of the SDK forgets who wanted to know before it tells.
assert.deepEqual(progress, [1, 2, 3, 4, 5].slice(0, streamable ? 5 : Math.max(1, progress.length)));

// A call is cancelled when it has begun, wherever that was.
const abort = new AbortController();
const began = new Promise(resolve => {
    const running = call('longRunningOperation', { duration: 60, steps: 600 }, { signal: abort.signal, onprogress: resolve });
    running.then(() => assert.fail('a cancelled call has a result'), () => {});
});
await began;
abort.abort('no longer wanted');

// Resources.
let resources = [];
let count = 0;
for (let cursor; ; count++) {
    const page = await client.listResources(cursor ? { cursor } : undefined);
    resources = resources.concat(page.resources);
    cursor = page.nextCursor;
    if (!cursor) break;
}
assert.ok(count >= 9 || !pages, 'resources come in pages');
assert.equal(new Set(resources.map(resource => resource.uri)).size, 101);
assert.match((await client.readResource({ uri: 'test://static/resource/1' })).contents[0].text, /^Resource 1:/);
assert.ok((await client.readResource({ uri: 'test://static/resource/2' })).contents[0].blob);
// Version 2 of the SDK gives what was -32002 before 2026-07-28 its later code.
await assert.rejects(client.readResource({ uri: 'test://static/resource/101' }), { code: pages ? -32002 : -32602 });
assert.equal((await client.listResourceTemplates()).resourceTemplates[0].uriTemplate, 'test://static/resource/{id}');

// Subscriptions.
const uri = 'test://static/resource/1';
const updated = next('notifications/resources/updated');
const subscription = sessions ? undefined : await client.listen({ resourceSubscriptions: [uri] });
if (sessions) await client.subscribeResource({ uri });
await ask('update');
assert.equal((await updated).uri, uri);
if (sessions) await client.unsubscribeResource({ uri });
await subscription?.close();

// Prompts and completion.
assert.equal((await client.listPrompts()).prompts.length, 4);
const prompt = await client.getPrompt({ name: 'complex_prompt', arguments: { temperature: '0.5', style: 'formal' } });
assert.match(prompt.messages[0].content.text, /temperature=0.5, style=formal/);
const complete = async (name, argument, chosen) => (await client.complete({
    ref: { type: 'ref/prompt', name }, argument, context: { arguments: chosen },
})).completion.values;
assert.deepEqual(await complete('complex_prompt', { name: 'style', value: 'f' }, {}), ['formal', 'friendly']);
assert.deepEqual(await complete('weather_prompt', { name: 'city', value: '' }, { country: 'Peru' }), ['Arequipa', 'Lima']);

// Log level. From 2026-07-28 each request names its own, and no tool logs.
if (sessions) {
    const logged = next('notifications/message', ({ data }) => data === 'Logging level set to: debug');
    await client.setLoggingLevel('debug');
    await logged;
}

// A tool is switched on and off, and the list is read when it is said to have changed.
const listener = sessions ? undefined : await client.listen({ toolsListChanged: true });
let changed = next('notifications/tools/list_changed');
assert.equal(text(await call('toggleTool', { on: true })), 'secretHandshake is on.');
await changed;
assert.ok((await list()).includes('secretHandshake'));
assert.match(text(await call('secretHandshake')), /^Two shakes/);
changed = next('notifications/tools/list_changed');
assert.equal(text(await call('toggleTool', { on: false })), 'secretHandshake is off.');
await changed;
await listener?.close();

// A resource is made and removed in the same way.
const notice = 'test://dynamic/resource/notice';
const listed = async () => (await client.listResources()).resources.map(resource => resource.uri);
const resourceListener = sessions ? undefined : await client.listen({ resourcesListChanged: true });
for (const on of [true, false]) {
    changed = next('notifications/resources/list_changed');
    assert.equal(text(await call('toggleResource', { on })), `${notice} is ${on ? 'on' : 'off'}.`);
    await changed;
    assert.equal((await listed()).includes(notice), on);
}
await resourceListener?.close();

await leave(client);
say({ done: true });
