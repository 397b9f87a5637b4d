import { Gpu, USAGE } from "../../kernels/webgpu/gpu.ts";
import { f32Word } from "../../kernels/webgpu/params.ts";
import { Pipelines } from "../../kernels/webgpu/pipelines.ts";
import { CHOOSE, CONTROL } from "../../kernels/webgpu/wgsl/choose.ts";
import { DRAW } from "../../kernels/webgpu/wgsl/draw.ts";
import { LOGIT_ROWS } from "../../kernels/webgpu/wgsl/logits.ts";
import { weightUnit } from "../../kernels/webgpu/wgsl/ranking.ts";
import { PenaltyWindow } from "../../worker/engine/penalty-window.ts";
import { draw } from "../../worker/engine/random.ts";
import { type SamplingOptions, sample, validateSampling } from "../../worker/engine/sampling.ts";

/** What webgpu-draw.test.ts runs inside the page: the kernels that choose a token, on logits of many kinds, against the engine's sampler. */

/** A position whose low word overflows on the way. */
const FIRST = 2 ** 32 - 3;
/** Draws of each distribution and options, a dispatch each. */
const DRAWS = 6;
/** In proportion to the probability kept: what kernels in f32 may be off a boundary. */
const ROUNDING = 1e-5;

export interface DrawResult {
  readonly name: string;
  readonly draws: number;
  /** tokens that are not the engine's, but would be with a boundary moved by ROUNDING. */
  readonly ties: number;
  /** [token, the engine's]. */
  readonly wrong: readonly (readonly [number, number])[];
}

type Logits = (random: () => number, token: number) => number;
const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(random() + 1e-12)) * Math.cos(2 * Math.PI * random());

const DISTRIBUTIONS: readonly (readonly [string, number, Logits])[] = [
  ["one token", 1, () => 3],
  ["five", 5, (random) => 2 * random()],
  ["33, about 0", 33, (random) => 0.1 * normal(random)],
  ["99, all equal", 99, () => -7.25],
  ["403, of few values", 403, (random) => Math.round(2 * normal(random))],
  ["4,099, all equal", 4099, () => 0],
  ["4,099, large", 4099, (random) => 1000 + 30 * normal(random)],
  [
    "50,257, as language models have them",
    50257,
    (random, token) => -8 + 2.5 * normal(random) + 9 * Math.exp(-token / 5),
  ],
  ["50,257, nearly flat", 50257, (random) => 1e-3 * normal(random)],
  ["50,280, zeros of either sign", 50280, (_, token) => (token % 2 === 0 ? 0 : -0)],
];

const OPTIONS: readonly SamplingOptions[] = [
  { temperature: 0 },
  {},
  { temperature: 0.1 },
  { temperature: 2 },
  { temperature: 1e-30 },
  { topP: 0.1 },
  { topP: 0.5, temperature: 0.7 },
  { topP: 0.95, temperature: 0.8 },
  { topP: 0.999, temperature: 2 },
  { topP: 1e-9 },
  { minP: 0.05 },
  { minP: 1 },
  { minP: 1e-20, temperature: 2 },
  { topP: 0.9, minP: 0.02, temperature: 1.3 },
  { topK: 1 },
  { topK: 40, topP: 0.95, temperature: 0.8 },
  { topK: 64, minP: 0.3 },
  { topK: 5000, topP: 0.7, temperature: 1.5 },
];

export default async function checks(): Promise<DrawResult[]> {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  const results: DrawResult[] = [];
  for (const [name, vocab, logit] of DISTRIBUTIONS) {
    let position = FIRST;
    const random = (): number => draw(vocab, position++);
    const logits = Float32Array.from({ length: vocab }, (_, token) => logit(random, token));
    results.push(...(await checkLogits(device, name, logits)));
  }
  const broken = new Float32Array(100).fill(1);
  for (const [i, value] of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].entries()) {
    broken[40 + i] = value;
    const [token] = await choose(device, broken, [{ temperature: 1, seed: 1 }]);
    results.push({ name: `a ${value}`, draws: 1, ties: 0, wrong: token === 0xffffffff ? [] : [[token!, 0xffffffff]] });
    broken[40 + i] = 1;
  }
  device.destroy();
  return results;
}

async function checkLogits(device: GPUDevice, name: string, logits: Float32Array): Promise<DrawResult[]> {
  const all = OPTIONS.flatMap((options, i) =>
    Array.from({ length: DRAWS }, (_, d) => ({ ...options, seed: 2 ** 40 + 97 * i + d })),
  );
  const tokens = await choose(device, logits, all);
  return OPTIONS.map((options, i) => {
    let ties = 0;
    const wrong: [number, number][] = [];
    for (let d = 0; d < DRAWS; d++) {
      const at = i * DRAWS + d;
      const expected = theirs(logits, all[at]!, FIRST + at);
      if (tokens[at] === expected) continue;
      if (nearby(logits, all[at]!, FIRST + at).has(tokens[at]!)) ties++;
      else wrong.push([tokens[at]!, expected]);
    }
    return { name: `${name}: ${JSON.stringify(options)}`, draws: DRAWS, ties, wrong };
  });
}

function theirs(logits: Float32Array, options: SamplingOptions, position: number, moved = 0): number {
  const parameters = validateSampling(options, logits.length);
  const uniform = Math.min(Math.max(draw(parameters.seed, position) + moved, 0), 1 - 2 ** -24);
  return sample(logits, parameters, new PenaltyWindow(), uniform).token;
}

/** What the engine chooses with boundaries a rounding away. */
function nearby(logits: Float32Array, options: SamplingOptions, position: number): Set<number> {
  const { topP = 1, minP = 0 } = options;
  const tokens = new Set<number>();
  for (const p of [-1, 0, 1]) {
    for (const m of [-1, 0, 1]) {
      const near = {
        ...options,
        topP: topP === 1 ? 1 : Math.min(1, topP * (1 + p * ROUNDING)),
        minP: Math.min(1, minP * (1 + m * ROUNDING)),
      };
      // So flat a distribution has many tokens within a rounding.
      for (let moved = -8; moved <= 8; moved++) tokens.add(theirs(logits, near, position, (moved / 8) * ROUNDING));
    }
  }
  return tokens;
}

/** A token for each of the options, by the kernel that the head takes for them, at positions from FIRST on. */
async function choose(device: GPUDevice, logits: Float32Array, all: readonly SamplingOptions[]): Promise<number[]> {
  const gpu = new Gpu(device);
  const pipelines = new Pipelines(gpu);
  const kernels = await pipelines.make({ choose: CHOOSE, drawn: DRAW });
  const vocab = logits.length;
  const filled = (label: string, words: Float32Array | Uint32Array, usage?: number): GPUBuffer => {
    const buffer = gpu.buffer(label, words.byteLength, usage);
    device.queue.writeBuffer(buffer, 0, words.buffer as ArrayBuffer);
    return buffer;
  };
  // Beyond the vocabulary a row has what was there before.
  const padded = new Float32Array(Math.ceil(vocab / 8) * 8).fill(99);
  padded.set(logits);
  const shared = [
    filled("logits", padded),
    filled("bests", bestsOf(logits)),
    filled("sizes", Uint32Array.of(vocab, f32Word(weightUnit(vocab))), USAGE.uniform | USAGE.copyDst),
  ];
  const staging = gpu.buffer("chosen", 4 * all.length, USAGE.mapRead | USAGE.copyDst);
  const encoder = device.createCommandEncoder();
  const controls = all.map((options, i) => {
    const control = filled("control", controlOf(options, vocab, FIRST + i));
    const pass = encoder.beginComputePass();
    pass.setPipeline((options.temperature === 0 ? kernels.choose : kernels.drawn).pipeline);
    pass.setBindGroup(0, pipelines.bind("rrwu", [shared[0]!, shared[1]!, control, shared[2]!]));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(control, 0, staging, 4 * i, 4);
    return control;
  });
  device.queue.submit([encoder.finish()]);
  const tokens = [...new Uint32Array(await gpu.map(staging, 4 * all.length))].slice(0, all.length);
  for (const buffer of [...shared, ...controls, staging]) gpu.free(buffer);
  return tokens;
}

/** As the kernel of the logits leaves them. */
function bestsOf(logits: Float32Array): Uint32Array {
  const bests = new Uint32Array(2 * Math.ceil(logits.length / LOGIT_ROWS));
  const values = new Float32Array(bests.buffer);
  for (let group = 0; group < bests.length / 2; group++) {
    const own = logits.subarray(group * LOGIT_ROWS, (group + 1) * LOGIT_ROWS);
    const best = own.indexOf(Math.max(...own));
    const broken = own.some((logit) => !Number.isFinite(logit));
    values[2 * group] = broken ? 3.4028234e38 : own[best]!;
    bests[2 * group + 1] = broken ? 0xffffffff : group * LOGIT_ROWS + best;
  }
  return bests;
}

function controlOf(options: SamplingOptions, vocab: number, position: number): Uint32Array {
  const { temperature, topK, topP, minP, seed } = validateSampling(options, vocab);
  const words = new Uint32Array(CONTROL.words);
  words[CONTROL.positionLow] = position;
  words[CONTROL.positionHigh] = Math.floor(position / 2 ** 32);
  words[CONTROL.seedLow] = seed;
  words[CONTROL.seedHigh] = Math.floor(seed / 2 ** 32);
  words[CONTROL.scale] = temperature === 0 ? 0 : f32Word(Math.min(1 / temperature, 1e30));
  words[CONTROL.topK] = topK;
  words[CONTROL.topP] = f32Word(topP);
  words[CONTROL.reach] = f32Word(minP === 0 ? 1e30 : -Math.log(minP));
  return words;
}
