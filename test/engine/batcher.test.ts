import { describe, expect, test } from "vitest";
import type { Executable, Span } from "../../kernels/backend.ts";
import { Batcher } from "../../worker/engine/batcher.ts";
import { generate } from "../../worker/engine/generate.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { wasm } from "../support/backends.ts";
import { tinyModel } from "../support/models.ts";

const model = await tinyModel(wasm, { tied: false });

/** The executable, recording how many spans each pass had. */
function recorded(executable: Executable): { executable: Executable; passes: number[] } {
  const passes: number[] = [];
  const run = (spans: readonly Span[]) => {
    passes.push(spans.length);
    return executable.run(spans);
  };
  return {
    passes,
    executable: Object.create(executable, {
      run: { value: run },
      maxTokens: { value: 64 },
      maxSequences: { value: 8 },
    }) as Executable,
  };
}

const span = (token: number): Span => ({ state: model.executable.createState(), tokens: [token], logits: "last" });

describe("steps submitted together", () => {
  test("run in one pass, each with the result it has alone", async () => {
    const { executable, passes } = recorded(model.executable);
    const batcher = new Batcher(executable);
    for (let i = 0; i < 5; i++) batcher.join();
    const together = await Promise.all([1, 2, 3, 4, 5].map((t) => batcher.run(span(t))));
    expect(passes).toEqual([5]);
    for (const [i, output] of together.entries()) {
      const [alone] = await model.executable.run([span(i + 1)]).read();
      expect(output.logits).toEqual(alone!.logits);
    }
  });

  test("are cut to what a pass may hold", async () => {
    const { executable, passes } = recorded(model.executable);
    const batcher = new Batcher(executable);
    for (let i = 0; i < 11; i++) batcher.join();
    await Promise.all(Array.from({ length: 11 }, (_, t) => batcher.run(span(t))));
    expect(passes).toEqual([8, 3]);
    const long = (count: number): Span => ({
      state: model.executable.createState(),
      tokens: Array.from({ length: count }, () => 1),
    });
    batcher.join();
    passes.length = 0;
    await Promise.all([40, 24, 1, 64].map((n) => batcher.run(long(n))));
    expect(passes).toEqual([2, 1, 1]);
  });

  test("do not wait for a member that does not submit", async () => {
    const { executable, passes } = recorded(model.executable);
    const batcher = new Batcher(executable);
    const leave = [batcher.join(), batcher.join()];
    await batcher.run(span(1));
    expect(passes).toEqual([1]);
    leave[0]!();
    leave[0]!();
    let done = false;
    void batcher.run(span(2)).then(() => {
      done = true;
    });
    // One member is left: its step runs at once, before any macrotask.
    for (let i = 0; i < 8; i++) await Promise.resolve();
    expect(done).toBe(true);
  });

  test("generations at the same time share their passes", async () => {
    const own = await tinyModel(wasm, { tied: false });
    let spans = 0;
    let passes = 0;
    const { run } = own.executable;
    own.executable.run = function (this: Executable, batch) {
      passes++;
      spans += batch.length;
      return run.call(own.executable, batch);
    };
    const drain = async (seed: number): Promise<void> => {
      const options = { prompt: [5, 6, 7], maxTokens: 40, sampling: { seed, logitBias: new Map([[0, -100]]) } };
      for await (const _ of generate(new Sequence(own), options));
    };
    await Promise.all([1, 2, 3, 4].map(drain));
    expect(spans).toBe(4 * 40);
    expect(passes).toBeLessThan(60);
  });
});
