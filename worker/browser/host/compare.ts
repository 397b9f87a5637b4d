import type { Span } from "../../../kernels/backend.ts";
import { imageChannels } from "../../../kernels/image-blocks.ts";
import type { Model } from "../../engine/model.ts";

/** Tokens compared, and tokens timed one by one. */
const CHECKED = 8;
const TIMED = 24;
const TIMED_IMAGES = 3;

/** Largest difference of logits in proportion to the largest one: what backends may differ by (activations in int8 included). */
const TOLERANCE = { f32: 1e-3, q8: 4e-2, q4: 4e-2 } as const;

export interface Comparison {
  readonly faster: boolean;
  readonly reason: string;
}

/**
 * Whether a model computes on a GPU what it computes on WASM, and faster.
 * @throws Error saying where they differ
 */
export async function compareBackends(gpu: Model, wasm: Model): Promise<Comparison> {
  const [seen, expected] = [await logits(gpu), await logits(wasm)];
  // Predictions may be near zero, each for itself: they are compared with the largest of all.
  const width = gpu.inputs === 0 ? gpu.outputs : expected.length;
  checkAgreement(seen, expected, width, TOLERANCE[gpu.manifest.quantization]);
  const [gpuMs, wasmMs] = [await stepMs(gpu), await stepMs(wasm)];
  const unit = gpu.manifest.image ? "images" : gpu.inputs > 0 ? "vectors" : "tok";
  const rate = (ms: number): string => `${(1000 / ms).toFixed(gpu.manifest.image ? 1 : 0)} ${unit}/s`;
  const [a, b] = [rate(gpuMs), rate(wasmMs)];
  return gpuMs < wasmMs
    ? { faster: true, reason: `WebGPU agrees with WASM and is faster here: ${a} against ${b}` }
    : { faster: false, reason: `WASM is faster here: ${b} against ${a} on WebGPU` };
}

/** @throws Error when logits differ by more than the rule for backends allows, or the greedy token does where that is clear */
export function checkAgreement(seen: Float32Array, expected: Float32Array, vocab: number, tolerance: number): void {
  for (let at = 0; at < expected.length; at += vocab) {
    const [a, b] = [seen.subarray(at, at + vocab), expected.subarray(at, at + vocab)];
    let [difference, largest] = [0, 0];
    for (let i = 0; i < b.length; i++) {
      const apart = Math.abs(a[i]! - b[i]!);
      // A NaN is no number's neighbour.
      if (!(apart <= difference)) difference = apart;
      largest = Math.max(largest, Math.abs(b[i]!));
    }
    const position = at / vocab;
    if (!(difference <= tolerance * largest)) {
      const ratio = (difference / largest).toExponential(1);
      throw new Error(
        `its logits at position ${position} are ${ratio} of the largest apart from WASM's, ${tolerance} is allowed`,
      );
    }
    const [first, second] = best(b);
    if (best(a)[0] !== first && b[first]! - b[second]! > tolerance * largest) {
      throw new Error(`its most probable token at position ${position} is ${best(a)[0]}, WASM's is ${first}`);
    }
  }
}

function best(logits: Float32Array): [number, number] {
  let [first, second] = [0, -1];
  for (let i = 1; i < logits.length; i++) {
    if (logits[i]! > logits[first]!) [first, second] = [i, first];
    else if (second < 0 || logits[i]! > logits[second]!) second = i;
  }
  return [first, Math.max(0, second)];
}

/** What a model of sequences is fed: tokens or vectors. */
function input({ inputs, vocab }: Model, count: number): Pick<Span, "tokens" | "vectors"> {
  if (inputs === 0) return { tokens: Array.from({ length: count }, (_, i) => (i * 7919) % vocab) };
  return { tokens: [], vectors: waves(count * inputs) };
}

function waves(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(7919 * i));
}

/** Of a picture that is none, of the size that the model was trained on. */
async function imageLogits({ executable, blocks, manifest }: Model): Promise<Float32Array> {
  const { height, width } = manifest.image!;
  const pass = executable.images!.begin([{ height, width, pixels: waves(imageChannels(blocks) * height * width) }]);
  pass.advance();
  return (await pass.read())[0]!.logits;
}

async function logits(model: Model): Promise<Float32Array> {
  const { executable } = model;
  // Who shows it a picture meanwhile waits for a turn.
  if (model.manifest.image) return model.imageTurns.take(() => imageLogits(model));
  const state = executable.createState();
  try {
    const [output] = await executable.run([{ state, ...input(model, CHECKED), logits: "all" }]).read();
    return output!.logits;
  } finally {
    state.dispose();
  }
}

/** Milliseconds an image, or a token in single steps with their logits read, after some that warm up. */
async function stepMs(model: Model): Promise<number> {
  if (model.manifest.image) return model.imageTurns.take(() => milliseconds(() => imageLogits(model), 1, TIMED_IMAGES));
  const { executable } = model;
  const state = executable.createState();
  try {
    return await milliseconds(() => executable.run([{ state, ...input(model, 1), logits: "last" }]).read(), 4, TIMED);
  } finally {
    state.dispose();
  }
}

async function milliseconds(step: () => Promise<unknown>, warmup: number, count: number): Promise<number> {
  for (let i = 0; i < warmup; i++) await step();
  const begin = performance.now();
  for (let i = 0; i < count; i++) await step();
  return (performance.now() - begin) / count;
}
