import type { Backend, Executable, ImageInput, ImageOutput } from "../../kernels/backend.ts";
import { compileModel, modelOf, type RandomModel, randomNumbers } from "../../scripts/bench/webgpu/models.ts";
import { blocksOf, type Hyperparameters } from "../../worker/engine/architectures/index.ts";
import { randomF32 } from "./wasm-fixtures.ts";

/** Random VMambas of odd sizes. */
export const V0_ODD: Hyperparameters = {
  channels: 3,
  classes: 7,
  dims: "10 19",
  depths: "1 2",
  inners: "21 38",
  dtRanks: "1 3",
  state: 16,
  gated: true,
  convBias: true,
  stem: "patch",
  eps: 1e-5,
};
export const V2_ODD: Hyperparameters = {
  channels: 1,
  classes: 5,
  dims: "14 33",
  depths: "2 1",
  inners: "17 40",
  dtRanks: "2 5",
  hiddens: "30 41",
  state: 1,
  gated: false,
  convBias: false,
  stem: "conv",
  eps: 1e-5,
};
export const OTHER_STATE: Hyperparameters = { ...V2_ODD, state: 3, convBias: true };

export function randomVmamba(sizes: Hyperparameters, encoding: "f32" | "q8" = "f32", seed = 5): RandomModel {
  const random = randomNumbers(seed);
  return modelOf(
    blocksOf("vmamba", sizes),
    () => encoding,
    (name, shape) => randomTensor(name, shape, random),
  );
}

function randomTensor(name: string, shape: readonly number[], random: () => number): Float32Array {
  const length = shape.reduce((a, b) => a * b, 1);
  const fill = (value: () => number): Float32Array => Float32Array.from({ length }, value);
  if (name.endsWith(".A")) return fill(() => -0.05 - 4 * Math.abs(random()));
  if (name.endsWith("norm.weight") || name.endsWith("norm_f.weight")) return fill(() => 1 + 0.5 * random());
  if (name.endsWith("dt_proj.bias")) return fill(() => -2 + 2 * random());
  if (name.endsWith(".bias")) return fill(() => 0.3 * random());
  if (name.endsWith(".D")) return fill(() => 1 + random());
  return fill(() => (2 * random()) / Math.sqrt(shape[1] ?? 1));
}

export function randomImage(channels: number, height: number, width: number, seed = 9): ImageInput {
  return { height, width, pixels: randomF32(channels * height * width, seed) };
}

export async function compileImages(backend: Backend, model: RandomModel): Promise<Executable> {
  return compileModel(backend, model, { maxImage: { height: 64, width: 64 } });
}

export async function see(
  executable: Executable,
  images: readonly ImageInput[],
  observe?: number,
): Promise<readonly ImageOutput[]> {
  const pass = executable.images!.begin(images, observe);
  pass.advance();
  return pass.read();
}
