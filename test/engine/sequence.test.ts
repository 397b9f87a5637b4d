import { describe, expect, test } from "vitest";
import { Sequence } from "../../worker/engine/sequence.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  restoreSnapshot,
  snapshotId,
  takeSnapshot,
} from "../../worker/engine/snapshot.ts";
import { effort } from "../effort.ts";
import { everyBackend, wasm, wasmBaseline } from "../support/backends.ts";
import { randomNumbers } from "../support/checkpoints.ts";
import { tinyModel } from "../support/models.ts";

function randomTokens(count: number, vocab: number, seed = 1): number[] {
  const random = randomNumbers(seed);
  return Array.from({ length: count }, () => Math.floor(random() * vocab));
}

const bits = (values: Float32Array): Uint32Array => new Uint32Array(values.slice().buffer);

describe.each(everyBackend)("any cut of the tokens gives the same on %s", (name, backend) => {
  test.each(["f32", "q8", "q4"] as const)("%s", async (quantization) => {
    const model = await tinyModel(backend, { dim: 29, vocab: 261, expand: 3, state: 7 }, quantization);
    const tokens = randomTokens(150, 261);
    const whole = new Sequence(model);
    const expected = bits((await whole.feed(tokens, { logits: true })).logits);
    const state = bits(await whole.state.read());
    for (const chunk of [1, 2, 3, 7, 64, 65, 149]) {
      const sequence = new Sequence(model);
      for (let at = 0; at + chunk < tokens.length; at += chunk) await sequence.feed(tokens.slice(at, at + chunk));
      const rest = tokens.slice(sequence.consumed);
      expect(bits((await sequence.feed(rest, { logits: true })).logits)).toEqual(expected);
      expect(bits(await sequence.state.read())).toEqual(state);
      sequence.dispose();
    }
    expect(name).toBeTruthy();
  });
});

test("relaxed and baseline SIMD are bitwise equal", async () => {
  const sizes = { dim: 48, vocab: 300, layers: 3 };
  const tokens = randomTokens(70, 300);
  for (const quantization of ["f32", "q8", "q4"] as const) {
    const [a, b] = await Promise.all(
      [wasm, wasmBaseline].map(async (backend) =>
        new Sequence(await tinyModel(backend, sizes, quantization)).feed(tokens, { logits: true }),
      ),
    );
    expect(bits(a!.logits)).toEqual(bits(b!.logits));
  }
});

describe("snapshots", () => {
  test.each(
    everyBackend,
  )("stored, restored and continued is never having stopped, bit for bit, on %s", async (name, backend) => {
    const model = await tinyModel(backend, {}, "q8");
    const tokens = randomTokens(90, 260);
    const unbroken = new Sequence(model);
    await unbroken.feed(tokens.slice(0, 50));
    const bytes = await encodeSnapshot(await takeSnapshot(unbroken));
    const other = await tinyModel(backend, {}, "q8");
    const restored = restoreSnapshot(other, await decodeSnapshot(bytes));
    expect(await encodeSnapshot(await takeSnapshot(restored))).toEqual(bytes);
    // The reference keeps f64 inside, and a state is stored in f32.
    const digits = name === "reference" ? 4 : Number.POSITIVE_INFINITY;
    const [a, b] = [
      await unbroken.feed(tokens.slice(50), { logits: true }),
      await restored.feed(tokens.slice(50), { logits: true }),
    ];
    if (digits === 4) for (const [i, v] of a.logits.entries()) expect(b.logits[i]).toBeCloseTo(v, digits);
    else expect(bits(b.logits)).toEqual(bits(a.logits));
  });

  test("a state made on one backend continues on another", async () => {
    const tokens = randomTokens(60, 260);
    const models = await Promise.all(everyBackend.map(([, backend]) => tinyModel(backend)));
    const first = new Sequence(models[1]!);
    await first.feed(tokens.slice(0, 30));
    const snapshot = await takeSnapshot(first);
    const results = await Promise.all(
      models.map((m) => restoreSnapshot(m, snapshot).feed(tokens.slice(30), { logits: true })),
    );
    const scale = Math.max(...results[0]!.logits.map(Math.abs));
    for (const { logits } of results) {
      for (const [i, v] of logits.entries()) expect(Math.abs(v - results[0]!.logits[i]!) / scale).toBeLessThan(1e-4);
    }
  });

  test("any changed, missing or added byte is refused", async () => {
    const model = await tinyModel(wasm);
    const sequence = new Sequence(model);
    await sequence.feed(randomTokens(5, 260));
    const bytes = await encodeSnapshot(await takeSnapshot(sequence));
    const random = randomNumbers(8);
    for (let i = 0; i < effort.fuzzCases; i++) {
      const altered = bytes.slice();
      altered[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8);
      await expect(decodeSnapshot(altered)).rejects.toThrow(/snapshot/);
      await expect(decodeSnapshot(bytes.slice(0, Math.floor(random() * bytes.length)))).rejects.toThrow(/snapshot/);
    }
    await expect(decodeSnapshot(new Uint8Array([...bytes, 0]))).rejects.toThrow(/sha256/);
  });

  test("equal content has equal ids, other content others", async () => {
    const model = await tinyModel(wasm);
    const take = async (tokens: number[]): Promise<string> => {
      const sequence = new Sequence(model);
      await sequence.feed(tokens);
      return snapshotId(await encodeSnapshot(await takeSnapshot(sequence)));
    };
    expect(await take([1, 2, 3])).toBe(await take([1, 2, 3]));
    expect(await take([1, 2, 3])).not.toBe(await take([1, 2, 4]));
    expect(await take([1])).toMatch(/^snap_[0-9a-f]{24}$/);
  });

  test("another model's is refused, another quantization's only without leave", async () => {
    const model = await tinyModel(wasm);
    const snapshot = await takeSnapshot(new Sequence(model));
    const other = await tinyModel(wasm, { seed: 2 });
    expect(() => restoreSnapshot(other, snapshot, { otherQuantization: true })).toThrow(
      /made by tiny@.*, this is tiny@/,
    );
    const q8 = await tinyModel(wasm, {}, "q8");
    expect(() => restoreSnapshot(q8, snapshot)).toThrow(/another quantization/);
    expect(restoreSnapshot(q8, snapshot, { otherQuantization: true }).consumed).toBe(0);
  });

  test("values that cannot be a state are refused before anything is applied", async () => {
    const model = await tinyModel(wasm);
    const good = await takeSnapshot(new Sequence(model));
    const state = good.state.slice();
    state[3] = Number.NaN;
    expect(() => restoreSnapshot(model, { ...good, state })).toThrow(/value 3 .* is NaN/);
    expect(() => restoreSnapshot(model, { ...good, state: state.slice(1) })).toThrow(
      /has \d+ values, the snapshot has/,
    );
    expect(() => restoreSnapshot(model, { ...good, pending: [260] })).toThrow(/token 260/);
    expect(() => restoreSnapshot(model, { ...good, utf8: new Uint8Array([0x41]) })).toThrow(/UTF-8/);
    expect(() => restoreSnapshot(model, { ...good, window: { tokens: [1], generated: [] } })).toThrow(/window/);
  });
});

test("memory does not grow with the tokens", async () => {
  const model = await tinyModel(wasm, {}, "q8");
  const tokens = randomTokens(effort.soakTokens, 260);
  const sequence = new Sequence(model);
  await sequence.feed(tokens.slice(0, 100));
  const before = process.memoryUsage();
  for (const token of tokens) await sequence.feed([token], { logits: true });
  const after = process.memoryUsage();
  expect(sequence.consumed).toBe(100 + effort.soakTokens);
  // ArrayBuffers hold the WebAssembly memory and every copy of logits; 4 MiB of slack for what is not collected yet.
  expect(after.external + after.arrayBuffers - before.external - before.arrayBuffers).toBeLessThan(4 * 2 ** 20);
});
