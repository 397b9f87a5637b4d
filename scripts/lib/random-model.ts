import type { Backend, CompileOptions, Encoding, Executable, TensorSpec } from "../../kernels/backend.ts";
import { matrixNames, tensorShapes } from "../../kernels/blocks.ts";
import { encodedBytes, f32ToBf16, GROUP, Q4_TILE_BYTES, Q8_TILE_BYTES, TILE_ROWS } from "../../weights/layout.ts";
import { blocksOf } from "../../worker/engine/architectures/index.ts";
import { staysF32 } from "../../worker/engine/architectures/vmamba-tensors.ts";

/** Sizes of state-spaces/mamba-130m. */
export const MAMBA_130M = {
  vocab: 50280,
  dim: 768,
  layers: 24,
  inner: 1536,
  state: 16,
  conv: 4,
  dtRank: 48,
  eps: 1e-5,
  tied: true,
  bias: false,
  convBias: true,
} as const;

/** Sizes of VMamba-T as published in its second version (s1l8): 30M weights, 224 × 224 images. */
export const VMAMBA_T = {
  channels: 3,
  classes: 1000,
  dims: "96 192 384 768",
  depths: "2 2 8 2",
  inners: "96 192 384 768",
  dtRanks: "6 12 24 48",
  hiddens: "384 768 1536 3072",
  state: 1,
  gated: false,
  convBias: false,
  stem: "conv",
  eps: 1e-5,
} as const;

/** A Mamba-1 of given sizes with random weights, for benchmarks: speed depends on sizes, not on what was learned. */
export async function randomMamba(
  backend: Backend,
  sizes: Readonly<Record<string, number | boolean>>,
  encoding: Encoding,
): Promise<Executable> {
  return randomModel(backend, "mamba", sizes, encoding);
}

/** The same of any architecture. */
export async function randomModel(
  backend: Backend,
  architecture: string,
  sizes: Readonly<Record<string, number | boolean | string>>,
  encoding: Encoding,
  options?: CompileOptions,
): Promise<Executable> {
  const blocks = blocksOf(architecture, sizes);
  const matrices = new Set(blocks.flatMap(matrixNames));
  const tensors = new Map<string, TensorSpec>();
  for (const [name, shape] of blocks.flatMap((b) => [...tensorShapes(b)])) {
    const quantized = matrices.has(name) && !(architecture === "vmamba" && staysF32(name));
    const encoded = quantized ? encoding : "f32";
    tensors.set(name, { shape, encoding: encoded, bytes: encodedBytes(shape, encoded) });
  }
  const executable = await backend.compile(blocks, tensors, options);
  for (const [name, spec] of tensors)
    executable.load(name, 0, spec.encoding === "f32" ? randomF32(name, spec) : randomTiles(spec));
  return executable;
}

/** Random integers with one scale for all, about 1/sqrt(cols) in size. */
function randomTiles(spec: TensorSpec): Uint8Array {
  const bytes = new Uint8Array(spec.bytes);
  const words = new Uint32Array(bytes.buffer);
  for (let i = 0, x = 0x9e3779b9; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  const [tile, spread] = spec.encoding === "q8" ? [Q8_TILE_BYTES, 74] : [Q4_TILE_BYTES, 4.6];
  const scale = f32ToBf16(1 / (spread * Math.sqrt(Math.max(spec.shape[1] ?? 1, GROUP))));
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += tile) {
    for (let row = 0; row < TILE_ROWS; row++) view.setUint16(at + 2 * row, scale, true);
  }
  return bytes;
}

function randomF32(name: string, spec: TensorSpec): Uint8Array {
  const decays = /\.A$/.test(name);
  const stepBias = /dt_proj\.bias$/.test(name);
  const scale = 1 / Math.sqrt(spec.shape[1] ?? 1);
  const values = Float32Array.from({ length: spec.bytes / 4 }, (_, i) => {
    if (decays) return -(1 + (i % (spec.shape[1] ?? 1)));
    if (stepBias) return -4.6;
    return spec.shape.length === 1 ? 1 : scale * 2 * (Math.random() - 0.5);
  });
  return new Uint8Array(values.buffer);
}
