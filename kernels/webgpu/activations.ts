import type { Gpu } from "./gpu.ts";
import type { Slice } from "./pipelines.ts";
import { type ActivationName, HEAD_BLOCK, type Plan } from "./plan.ts";
import { LOGIT_ROWS } from "./wgsl/logits.ts";

/** The buffers that passes compute in. What lies beyond a vector's length in its padded row is zero and stays so. */
export interface Activations extends Readonly<Record<ActivationName, GPUBuffer>> {
  /** u32 (tokens) of the pass. */
  readonly tokens: GPUBuffer;
  /** Parts of the stream: u, parts of u, parts of Δ, B and C. No kernel may bind two of them, unless it only reads both. */
  readonly u: Slice;
  readonly partial: Slice;
  readonly bc: Slice;
  /** u32 0, 1, 2, … */
  readonly counting: GPUBuffer;
  /** u32: the tokens whose logits are wanted. */
  readonly rows: GPUBuffer;
  /** u32: what a log-probability is wanted of, by row. */
  readonly targets: GPUBuffer;
  /** f32 log-probabilities, by row. */
  readonly scores: GPUBuffer;
  /** the best candidate of every LOGIT_ROWS logits of a row: an f32 and a u32. */
  readonly bests: GPUBuffer;
  readonly all: readonly GPUBuffer[];
}

export function createActivations(gpu: Gpu, plan: Plan): Activations {
  const all: GPUBuffer[] = [];
  const make = (label: string, bytes: number): GPUBuffer => {
    const buffer = gpu.buffer(label, bytes);
    all.push(buffer);
    return buffer;
  };
  const floats = Object.fromEntries(
    Object.entries(plan.floats).map(([name, count]) => [name, make(name, 4 * count)]),
  ) as Record<ActivationName, GPUBuffer>;
  const rowBytes = 4 * (plan.tokenRows + HEAD_BLOCK);
  const counting = make("counting", rowBytes);
  gpu.device.queue.writeBuffer(
    counting,
    0,
    Uint32Array.from({ length: rowBytes / 4 }, (_, i) => i),
  );
  const { partial, bc } = plan.places;
  const { stream } = floats;
  return {
    ...floats,
    u: { buffer: stream, offset: 0, size: 16 * partial },
    partial: { buffer: stream, offset: 16 * partial, size: 16 * (bc - partial) },
    bc: { buffer: stream, offset: 16 * bc, size: 4 * plan.floats.stream - 16 * bc },
    tokens: make("tokens", rowBytes),
    counting,
    rows: make("rows", rowBytes),
    targets: make("targets", rowBytes),
    scores: make("scores", rowBytes),
    bests: make("bests", 8 * Math.ceil(plan.head.vocab / LOGIT_ROWS)),
    all,
  };
}
