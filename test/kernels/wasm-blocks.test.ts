import { expect, test } from "vitest";
import type { Backend } from "../../kernels/backend.ts";
import { createReferenceBackend } from "../../kernels/reference/index.ts";
import { mixture, modelOf } from "../../scripts/bench/webgpu/block-models.ts";
import { backendWith, compileModel, differences, distance, everyDots, randomTokens } from "./wasm-fixtures.ts";

const model = modelOf(mixture(), () => "f32");
const tokens = randomTokens(40, 131);

/** Logits of all positions, fed in spans of the given lengths. */
async function logitsOf(backend: Backend, lengths: readonly number[]): Promise<Float32Array> {
  const executable = await compileModel(backend, model);
  const state = executable.createState();
  const logits: number[] = [];
  let first = 0;
  for (const length of lengths) {
    const span = { state, tokens: tokens.slice(first, first + length), logits: "all" } as const;
    const [output] = await executable.run([span]).read();
    logits.push(...output!.logits);
    first += length;
  }
  return Float32Array.from(logits);
}

const wanted = await logitsOf(createReferenceBackend(), [40]);

test.each(
  everyDots,
)("every kind of block in one model, with %s dots: as the reference, however it is cut", async (dots) => {
  const backend = await backendWith(dots);
  const whole = await logitsOf(backend, [40]);
  expect(distance(whole, wanted)).toBeLessThan(1e-5);
  for (const lengths of [Array<number>(40).fill(1), [1, 17, 2, 20]]) {
    expect(differences(await logitsOf(backend, lengths), whole)).toBe(0);
  }
});
