import type { Encoding, Executable, ImageInput } from "../../../kernels/backend.ts";
import { createReferenceBackend } from "../../../kernels/reference/index.ts";
import type { WebGpuBackend } from "../../../kernels/webgpu/index.ts";
import { blocksOf, type Hyperparameters } from "../../../worker/engine/architectures/index.ts";
import { mixture, modelOf } from "./block-models.ts";
import { type Report, reporter } from "./checks.ts";
import { compileModel, distance, randomNumbers, randomTokens } from "./models.ts";

/** Checks of the kernels that run block by block against the reference, for any device. */

/** f32 arithmetic in another order. */
const EXACT = 2e-5;
const VMAMBA = { channels: 3, classes: 7, dims: "14 33", depths: "1 1", inners: "17 40", dtRanks: "2 5", eps: 1e-5 };
const IMAGE_MODELS: readonly (readonly [string, Hyperparameters])[] = [
  ["VMamba v0", { ...VMAMBA, state: 16, gated: true, convBias: true, stem: "patch" }],
  ["VMamba v2", { ...VMAMBA, hiddens: "30 41", state: 1, gated: false, convBias: false, stem: "conv" }],
];

/** Matrices of every encoding. */
export function anyEncoding(name: string): Encoding {
  if (name === "embedding" || name.endsWith("in")) return "q8";
  return name.endsWith("out") || name.endsWith("up") ? "q4" : "f32";
}

/** Every block of sequences in one model, in pieces, and image models on images of two sizes. */
export async function checkBlocks(backend: WebGpuBackend, report: Report): Promise<void> {
  await checkMixture(backend, report);
  for (const [name, sizes] of IMAGE_MODELS) await checkImages(backend, name, sizes, report);
}

async function checkMixture(backend: WebGpuBackend, report: Report): Promise<void> {
  const say = reporter(report);
  const model = modelOf(mixture(), anyEncoding);
  const tokens = randomTokens(88, 131);
  const feed = async (executable: Executable, lengths: readonly number[]) => {
    const state = executable.createState();
    const logits: number[] = [];
    let at = 0;
    for (const length of lengths) {
      const [output] = await executable.run([{ state, tokens: tokens.slice(at, at + length), logits: "all" }]).read();
      logits.push(...output!.logits);
      at += length;
    }
    const values = await state.read();
    state.dispose();
    return { logits: Float32Array.from(logits), values };
  };
  const ours = await compileModel(backend, model, { maxTokens: 100 });
  const expected = await feed(await compileModel(createReferenceBackend(), model, { maxTokens: 100 }), [88]);
  for (const lengths of [[88], [1, 70, 1, 16]]) {
    const got = await feed(ours, lengths);
    say(`all blocks of sequences, in ${lengths.length}, logits`, distance(got.logits, expected.logits), EXACT);
    say(`all blocks of sequences, in ${lengths.length}, state`, distance(got.values, expected.values), EXACT);
  }
  ours.dispose();
}

async function checkImages(
  backend: WebGpuBackend,
  name: string,
  sizes: Hyperparameters,
  report: Report,
): Promise<void> {
  const say = reporter(report);
  const blocks = blocksOf("vmamba", sizes);
  const model = modelOf(blocks, (matrix) => (matrix.includes("in_proj") ? "q8" : "f32"));
  const observed = blocks.findIndex((b) => b.kind === "ss2d");
  const images = [
    [23, 37],
    [40, 9],
  ].map(([height = 1, width = 1], i): ImageInput => {
    return { height, width, pixels: Float32Array.from({ length: 3 * height * width }, randomNumbers(i)) };
  });
  const [got, expected] = await Promise.all(
    [backend, createReferenceBackend()].map(async (each) => {
      const executable = await compileModel(each, model, { maxImage: { height: 40, width: 40 } });
      const pass = executable.images!.begin(images, observed);
      pass.advance();
      const outputs = await pass.read();
      executable.dispose();
      return outputs;
    }),
  );
  images.forEach(({ height, width }, i) => {
    const [a, b] = [got![i]!, expected![i]!];
    say(`${name}, ${height} × ${width}, logits`, distance(a.logits, b.logits), EXACT);
    say(`${name}, ${height} × ${width}, responses`, distance(a.responses!.values, b.responses!.values), EXACT);
  });
}
