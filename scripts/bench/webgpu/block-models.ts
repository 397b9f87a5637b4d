import type { Encoding, TensorSpec } from "../../../kernels/backend.ts";
import { type Block, matrixNames, type Norm, tensorShapes } from "../../../kernels/blocks.ts";
import { encode, type RandomModel, randomNumbers } from "./models.ts";

/** Random models of any list of blocks, in Node and in a page. */

const layer = (name: string): Norm => ({ type: "layer", weight: `${name}.norm`, bias: `${name}.norm.bias`, eps: 1e-5 });
const rms = (name: string): Norm => ({ type: "rms", weight: `${name}.norm`, eps: 1e-6 });

/** What no architecture here has together: tokens before attention, heads wider than a workgroup, no biases, RMS norms, every MLP. */
export function mixture(dim = 72, vocab = 131, capacity = 90): Block[] {
  const attention = (i: number, heads: number, norm: Norm): Block => ({
    ...{ kind: "attention", dim, heads, capacity, norm },
    ...{ qkv: { weight: `${i}.qkv` }, proj: { weight: `${i}.proj`, bias: `${i}.proj.bias` } },
  });
  const s4d = (i: number, state: number) => ({ state, decay: `${i}.decay`, C: `${i}.C`, D: `${i}.D` });
  const mlp = (i: number, norm: Norm): Block => ({
    ...{ kind: "mlp", dim, hidden: 51, norm, up: { weight: `${i}.up` }, down: { weight: `${i}.down` } },
    ...(i === 3 && { gelu: "exact" }),
  });
  return [
    { kind: "embedding", vocab, dim, weight: "embedding" },
    { kind: "positions", dim, count: capacity + 3, weight: "positions" },
    attention(2, 1, rms("2")),
    mlp(3, layer("3")),
    {
      ...{ kind: "mamba", dim, inner: 37, state: 5, conv: 3, dtRank: 3, norm: layer("4") },
      ...{ inProj: { weight: "4.in" }, convWeight: "4.conv", xProj: "4.x", dtProj: { weight: "4.dt" } },
      ...{ A: "4.A", D: "4.D", outProj: { weight: "4.out", bias: "4.out.bias" } },
    },
    { kind: "s4d", dim, norm: rms("5"), s4d: s4d(5, 40), mix: { weight: "5.mix" } },
    attention(6, 24, layer("6")),
    {
      ...{ kind: "s4-mamba", dim, inner: 45, conv: 1, norm: rms("7"), s4d: s4d(7, 7) },
      ...{ inProj: { weight: "7.in", bias: "7.in.bias" }, convWeight: "7.conv", outProj: { weight: "7.out" } },
    },
    mlp(8, rms("8")),
    { kind: "norm", dim, norm: layer("9") },
    { kind: "head", vocab, dim, proj: { weight: "embedding" } },
  ];
}

/** Values of the size that a trained model has. */
function randomTensor(name: string, shape: readonly number[], random: () => number): Float32Array {
  const length = shape.reduce((a, b) => a * b, 1);
  const fill = (value: (i: number) => number): Float32Array => Float32Array.from({ length }, (_, i) => value(i));
  if (name.endsWith(".A")) return fill(() => -0.05 - 8 * Math.abs(random()));
  if (name.endsWith("bias")) return fill(() => 0.3 * random());
  if (name === "embedding" || name === "positions" || name.endsWith(".D")) return fill(random);
  // Weights of norms.
  if (shape.length === 1) return fill(() => 1 + 0.5 * random());
  // Pairs of a complex number of size 0.97 and any angle.
  if (name.endsWith(".decay")) return fill((i) => 0.97 * (i % 2 === 0 ? Math.cos(i) : Math.sin(i - 1)));
  if (name.endsWith(".C")) return fill(() => random() / Math.sqrt(shape[1]!));
  return fill(() => (2 * random()) / Math.sqrt(shape[1]!));
}

export function modelOf(blocks: readonly Block[], encodingOf: (name: string) => Encoding, seed = 3): RandomModel {
  const random = randomNumbers(seed);
  const tensors = new Map<string, TensorSpec>();
  const bytes = new Map<string, Uint8Array>();
  const matrices = new Set(blocks.flatMap(matrixNames));
  for (const [name, shape] of blocks.flatMap((block) => [...tensorShapes(block)])) {
    if (tensors.has(name)) continue;
    const values = randomTensor(name, shape, random);
    const encoding = matrices.has(name) ? encodingOf(name) : "f32";
    const encoded = encode(shape, values, encoding);
    tensors.set(name, { shape, encoding, bytes: encoded.length });
    bytes.set(name, encoded);
  }
  return { blocks, tensors, bytes };
}
