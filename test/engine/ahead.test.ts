import { expect, test } from "vitest";
import { type GenerationOptions, type GenerationResult, generate, opening } from "../../worker/engine/generate.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { encodeSnapshot, takeSnapshot } from "../../worker/engine/snapshot.ts";
import { mortal } from "../browser/mortal.ts";
import { wasm } from "../support/backends.ts";
import { tinyModel } from "../support/models.ts";
import { type Counts, queued } from "../support/queued.ts";

const counts: Counts = { chosen: 0, flying: 0 };
const plain = await tinyModel(wasm, { tied: false });
const model = await tinyModel(queued(wasm, counts), { tied: false });
const prompt = plain.requireTokenizer().encode("The cat ☃");

async function run(sequence: Sequence, options: Partial<GenerationOptions>) {
  const pieces = generate(sequence, { prompt: [], maxTokens: 100, ...options, sampling: options.sampling ?? {} });
  const ids: number[] = [];
  let text = "";
  for (;;) {
    const { value, done } = await pieces.next();
    const { text: more, tokens } = done ? value.tail : value;
    text += more;
    ids.push(...tokens.map(({ id }) => id));
    if (done) return { result: value as GenerationResult, text, ids };
  }
}

const bytes = async (sequence: Sequence): Promise<Uint8Array> => encodeSnapshot(await takeSnapshot(sequence));

const greedy = { temperature: 0, seed: 3 };
const drawn = { temperature: 1.4, topK: 40, topP: 0.95, minP: 0.001, seed: 5 };
/** What 100 tokens drawn without an end are, so that ends can be put anywhere in them. */
const { ids } = await run(new Sequence(plain), { prompt, sampling: drawn });
/** A token that comes for the first time at this index or later. */
const firstFrom = (index: number): number => ids.find((id, i) => i >= index && ids.indexOf(id) === i)!;

test.each<[string, Partial<GenerationOptions>]>([
  ["greedy", { sampling: greedy }],
  ["drawn from a few", { sampling: drawn }],
  ["drawn from the whole vocabulary", { sampling: { seed: 5 } }],
  ["drawn from the most probable", { sampling: { seed: 5, topP: 0.9 } }],
  ["drawn from many", { sampling: { ...drawn, topK: 65 } }],
  ["one token", { sampling: drawn, maxTokens: 1 }],
  ["a stretch and one", { sampling: drawn, maxTokens: 34 }],
  ["an end at once", { sampling: drawn, endTokens: new Set([ids[0]!]) }],
  ["an end in a stretch", { sampling: drawn, endTokens: new Set([firstFrom(8)]) }],
  ["an end in a later stretch", { sampling: drawn, endTokens: new Set([firstFrom(40)]) }],
  ["a stop string", { sampling: drawn, stop: [plain.requireTokenizer().decode([ids[20]!])] }],
])("%s: tokens chosen ahead on the backend, and what is left afterwards, are the engine's", async (_, options) => {
  const [expected, sequence] = [new Sequence(plain), new Sequence(model)];
  counts.chosen = 0;
  const theirs = await run(expected, { prompt, ...options });
  const ours = await run(sequence, { prompt, ...options });
  expect(ours).toEqual(theirs);
  expect(counts.chosen).toBeGreaterThanOrEqual(theirs.ids.length - 1);
  expect(await bytes(sequence)).toEqual(await bytes(expected));
  const more = { prompt: [5, 6], sampling: options.sampling!, maxTokens: 10 };
  expect(await run(sequence, more)).toEqual(await run(expected, more));
});

test("several are on their way at once", () => {
  expect(counts.flying).toBeGreaterThan(3);
});

test("enough, and a reader who leaves, take back what was launched", async () => {
  const [expected, sequence, left] = [new Sequence(plain), new Sequence(model), new Sequence(model)];
  const options = { prompt, sampling: drawn };
  await run(expected, { ...options, maxTokens: 12 });
  let count = 0;
  await run(sequence, { ...options, enough: () => ++count === 12 });
  expect(await bytes(sequence)).toEqual(await bytes(expected));
  const pieces = generate(left, { ...options, maxTokens: 100 });
  for (let i = 0; i < 5; i++) await pieces.next();
  await pieces.return(undefined as never);
  const fed = new Sequence(plain);
  await fed.feed([...opening(fed, prompt), ...prompt, ...ids].slice(0, left.consumed));
  expect(await left.state.read()).toEqual(await fed.state.read());
});

test.each<[string, Partial<GenerationOptions>]>([
  ["penalties", { sampling: { ...drawn, repetitionPenalty: 1.2 } }],
  ["a bias", { sampling: { ...drawn, logitBias: new Map([[7, 2]]) } }],
  ["typical sampling", { sampling: { ...drawn, typicalP: 0.8 } }],
  ["log-probabilities", { sampling: drawn, logprobs: 2 }],
])("%s: the engine chooses", async (_, options) => {
  counts.chosen = 0;
  const ours = await run(new Sequence(model), { prompt, maxTokens: 10, ...options });
  expect(counts.chosen).toBe(0);
  expect(ours).toEqual(await run(new Sequence(plain), { prompt, maxTokens: 10, ...options }));
});

test("when the backend fails, its error is the caller's, and the sequence says what was not fed", async () => {
  const dying = await tinyModel(mortal(queued(wasm), 6, "read"), { tied: false });
  const sequence = new Sequence(dying);
  await expect(run(sequence, { prompt, sampling: drawn })).rejects.toThrow("device lost");
  const fed = opening(new Sequence(plain), prompt).length + prompt.length;
  expect(sequence.pending).toEqual([ids[sequence.consumed - fed]]);
  await expect(takeSnapshot(sequence)).rejects.toThrow(/did not finish/);
});

test("a snapshot of a sequence that the backend is ahead of is refused", async () => {
  const sequence = new Sequence(model);
  const pieces = generate(sequence, { prompt, sampling: drawn, maxTokens: 100 });
  for (let i = 0; i < 3; i++) await pieces.next();
  await expect(takeSnapshot(sequence)).rejects.toThrow(/did not finish: wait for its generation to end/);
  await pieces.return(undefined as never);
  expect((await takeSnapshot(sequence)).consumed).toBe(sequence.consumed);
});
