// Calls tools that ask three times, with answers that carry the number of their call:
// as many calls at once as the command line says, or, if it names a tool, that one,
// whose process the test kills while the second question is answered.
import assert from 'node:assert/strict';
import { ask, connect, leave, say, text } from './client.mjs';

const what = process.argv[4];
const dies = Number.isNaN(Number(what));
let asked = 0;

async function count() {
    if (++asked === 2 && dies) await ask('kill');
}

// A guess that shows whose it is, and which.
async function guess({ params }) {
    await count();
    const [, player, left] = params.message.match(/^player (\d+), .* Guesses left: (\d)\.$/);
    return { action: 'accept', content: { guess: 10 * (Number(player) + 1) + 4 - Number(left) } };
}

// The model uses a tool twice, by ids that begin with the prompt, and then says which
// ids its conversation has.
async function sample({ params }) {
    await count();
    const contents = params.messages.flatMap(message => message.content);
    const prompt = contents[0].text;
    const used = contents.filter(content => content.type === 'tool_use').map(content => content.id);
    const content = used.length < 2
        ? { type: 'tool_use', id: `${prompt}-${used.length + 1}`, name: 'getWeather', input: { city: 'Oslo' } }
        : { type: 'text', text: `${prompt} used ${used.join(' ')}` };
    return { model: 'e2e', role: 'assistant', content };
}

const client = await connect({ sampling: { tools: {} }, elicitation: { form: {} } }, client => {
    client.answer('elicitation/create', guess);
    client.answer('sampling/createMessage', sample);
});

const guessNumber = async i => {
    const said = text(await client.call('guessNumber', { player: `player ${i}`, max: 1_000_000_000 }));
    assert.match(said, new RegExp(`^player ${i} guessed ${i + 1}1, ${i + 1}2, ${i + 1}3\\. The number was \\d+\\.$`));
};
const sampleWithTools = async i => {
    const said = text(await client.call('sampleWithTools', { prompt: `call ${i}` }));
    assert.equal(said, `LLM sampling result: call ${i} used call ${i}-1 call ${i}-2`);
};

if (what === 'guessNumber') {
    await assert.rejects(guessNumber(1), /has died/);
    assert.equal(asked, 2);
} else if (what === 'sampleWithTools') {
    await sampleWithTools(1);
    assert.equal(asked, 3);
} else {
    const calls = Array.from({ length: Number(what) }, (_, i) => i % 2 ? sampleWithTools(i) : guessNumber(i));
    await Promise.all(calls);
    assert.equal(asked, 3 * calls.length);
}
await leave(client);
say({ done: true });
