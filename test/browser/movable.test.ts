import { describe, expect, test } from "vitest";
import type { Backend, SequenceState } from "../../kernels/backend.ts";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { type MovableExecutable, movableBackend } from "../../worker/browser/host/movable.ts";
import { generate } from "../../worker/engine/generate.ts";
import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { tinyPackage } from "../support/models.ts";

const wasm = await createWasmBackend(await loadWasmModules());
const memory = await tinyPackage({ tied: false });
const open = (backend: Backend = movableBackend(wasm)): Promise<Model> => Model.load(memory, backend);
const prompt = Array.from("Once upon", (c) => c.charCodeAt(0));

async function text(sequence: Sequence, tokens = prompt, maxTokens = 60, after?: (pieces: number) => void) {
  const logitBias = new Map([[0, -100]]);
  const pieces = generate(sequence, { prompt: tokens, maxTokens, sampling: { seed: 5, logitBias } });
  let all = "";
  let count = 0;
  let next = await pieces.next();
  for (; !next.done; next = await pieces.next()) {
    all += next.value.text;
    after?.(++count);
  }
  return all + next.value.tail.text;
}

const whole = await text(new Sequence(await open(wasm)));
const move = async (model: Model): Promise<void> =>
  (model.executable as MovableExecutable).moveTo((await open(wasm)).executable);

describe("an executable is exchanged for another", () => {
  test.each([1, 7, 30])("after %i pieces of a text, which goes on", async (pieces) => {
    const model = await open();
    const before = model.executable.createState() as SequenceState & { inner: SequenceState };
    const { inner } = before;
    let moved: Promise<void> | undefined;
    const seen = await text(new Sequence(model), prompt, 60, (count) => {
      if (count === pieces) moved = move(model);
    });
    await moved;
    expect(seen).toBe(whole);
    expect(before.inner).not.toBe(inner);
  });

  test("below several that generate, some that rest, and forks that are made meanwhile", async () => {
    const model = await open();
    const rest = new Sequence(model);
    await text(rest, prompt, 20);
    const [one, two] = [new Sequence(model), new Sequence(model)];
    const moved = move(model);
    const forks: Sequence[] = [];
    const both = await Promise.all([
      text(one, prompt, 60, () => forks.length < 3 && forks.push(rest.fork())),
      text(two, prompt, 60),
    ]);
    await moved;
    expect(both).toEqual([whole, whole]);
    const goOn = await text(rest, [], 20);
    for (const fork of forks) expect(await text(fork, [], 20)).toBe(goOn);
    const straight = new Sequence(await open(wasm));
    await text(straight, prompt, 20);
    expect(goOn).toBe(await text(straight, [], 20));
  });

  test("but not when it has no place for the states, or the model is gone: all stays as it was", async () => {
    const model = await open();
    const sequence = new Sequence(model);
    await text(sequence, prompt, 5);
    const full = (await open(wasm)).executable;
    full.createState = () => {
      throw new RangeError("no memory");
    };
    await expect((model.executable as MovableExecutable).moveTo(full)).rejects.toThrow("no memory");
    expect(await text(new Sequence(model))).toBe(whole);
    model.dispose();
    await expect(move(model)).rejects.toThrow("disposed");
  });
});
