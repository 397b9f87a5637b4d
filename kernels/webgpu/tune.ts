import { type Executable, SAMPLED } from "../backend.ts";
import { WebGpuExecutable } from "./executable.ts";
import type { KernelChoice } from "./kernels.ts";
import { SHAPES, type Shapes } from "./shapes.ts";
import { BASELINE, type VariantName, type Variants } from "./variants.ts";

/** Tokens compared in one pass, and after them one by one. */
const CHECKED = { together: 9, alone: 4 };
/**
 * Tokens timed: of a prompt, which is long because what is best for 128 tokens is not for the 512 that longer ones go in; and one by one.
 * Rounds, of which the fastest counts: of three, a host that launches no faster than the GPU computes had none without a pause. Milliseconds after which a slow GPU has no further one.
 */
export const TIMED = { together: 512, alone: 24, rounds: 8, milliseconds: 1500 };
/** Most of the time before, for a change to be worth it: what is closer is noise. */
const WORTH = 0.97;

/** Largest difference of logits from the baseline's, in proportion to the largest: rounding in another order; what backends may differ by. */
const EXACT = 1e-4;
const ROUNDED = { f32: 1e-3, quantized: 4e-2 };

/** Which variants concern a model, and what they are called. */
const NAMES: Readonly<Record<VariantName, string>> = { subgroup: "subgroups", packed: "int8 dots", half: "f16" };

/** Shapes worth trying on a real GPU. */
export const TRIED: readonly Partial<Shapes>[] = [
  { rows: 16 },
  { rows: 64 },
  { channels: 16 },
  { channels: 64 },
  { gemm: { tokens: 4, quads: 1 } },
  { gemm: { tokens: 4, quads: 2 } },
  { gemm: { tokens: 8, quads: 2 } },
];

export interface Tuning extends KernelChoice {
  /** names of the trials whose change was kept. */
  readonly kept: readonly string[];
  /** what became of each shape and variant that was tried, in words. */
  readonly notes: readonly string[];
}

interface Trial {
  readonly name: string;
  readonly choice: (kept: KernelChoice) => KernelChoice;
  /** by which its logits may differ. */
  readonly tolerance: number;
  /** of many tokens, else of one. */
  readonly together: boolean;
}

/**
 * Tries other shapes of workgroups, then what a device offers beyond core WGSL, on a loaded model: each is kept when its logits are the
 * baseline's, as far as its rounding allows, and it is faster. The executable then computes with what was kept. Models that run block by
 * block have neither.
 * @param shapes tried one after the other, each a compilation: `TRIED`, or none on a software adapter
 * @param remembered `kept` of an earlier tuning of the same model on the same device: is checked again, but not timed
 * @throws WebGpuError when the device fails; what does not compile is only noted
 */
export async function tune(
  executable: Executable,
  offered: Variants,
  shapes: readonly Partial<Shapes>[] = [],
  remembered?: readonly string[],
): Promise<Tuning> {
  const notes: string[] = [];
  const names: string[] = [];
  if (!(executable instanceof WebGpuExecutable)) return { shapes: SHAPES, variants: BASELINE, kept: names, notes };
  let kept: KernelChoice = { shapes: executable.model.kernels.shapes, variants: BASELINE };
  const trials = [...shapes.map(shapeTrial), ...variantTrials(executable, offered)].filter(
    ({ name }) => remembered?.includes(name) ?? true,
  );
  if (trials.length === 0) return { ...kept, kept: names, notes };
  await executable.use(kept);
  const expected = await logits(executable);
  for (const { name, choice, tolerance, together } of trials) {
    const candidate = choice(kept);
    try {
      await executable.use(candidate);
    } catch (error) {
      executable.model.gpu.check();
      notes.push(`${name}: ${(error as Error).message}`);
      continue;
    }
    const apart = distance(await logits(executable), expected);
    // A NaN is no number's neighbour.
    if (!(apart <= tolerance)) {
      notes.push(`${name}: ${apart.toExponential(1)} of the largest logit apart, ${tolerance} is allowed`);
    } else {
      if (remembered === undefined) {
        const [before, after] = await race(executable, kept, candidate, together);
        notes.push(`${name}: ${(before / after).toFixed(2)} times the speed`);
        if (!(after < WORTH * before)) continue;
      }
      kept = candidate;
      names.push(name);
    }
  }
  await executable.use(kept);
  return { ...kept, kept: names, notes };
}

function shapeTrial(change: Partial<Shapes>): Trial {
  const { rows, channels, gemm } = change;
  const names = [
    rows === undefined ? [] : `${rows} rows`,
    channels === undefined ? [] : `${channels} channels`,
    gemm === undefined ? [] : `products of ${gemm.tokens} × ${4 * gemm.quads}`,
  ];
  return {
    name: names.flat().join(", "),
    choice: ({ shapes, variants }) => ({ shapes: { ...shapes, ...change }, variants }),
    tolerance: EXACT,
    together: gemm !== undefined,
  };
}

function variantTrials(executable: WebGpuExecutable, offered: Variants): Trial[] {
  const encodings = new Set(Array.from(executable.model.plan.matrices.values(), ({ spec }) => spec.encoding));
  const quantized = encodings.has("q8") || encodings.has("q4");
  return (Object.keys(BASELINE) as VariantName[])
    .filter((name) => offered[name] !== BASELINE[name] && (name !== "packed" || quantized))
    .map((name) => ({
      name: NAMES[name],
      choice: ({ shapes, variants }) => ({ shapes, variants: { ...variants, [name]: offered[name] } }),
      tolerance: name === "subgroup" ? EXACT : quantized ? ROUNDED.quantized : ROUNDED.f32,
      together: name === "half",
    }));
}

/** What was kept beyond the defaults, in words; "" for nothing. */
export function describeChoice({ shapes, variants }: KernelChoice): string {
  const { rows, channels, gemm } = shapes;
  const changed = { ...(rows !== SHAPES.rows && { rows }), ...(channels !== SHAPES.channels && { channels }) };
  const other = gemm.tokens !== SHAPES.gemm.tokens || gemm.quads !== SHAPES.gemm.quads;
  const shape = shapeTrial({ ...changed, ...(other && { gemm }) }).name;
  const names = (Object.keys(BASELINE) as VariantName[])
    .filter((name) => variants[name] !== BASELINE[name])
    .map((name) => NAMES[name]);
  return [...(shape === "" ? [] : [shape]), ...names].join(", ");
}

function vocabOf(executable: WebGpuExecutable): number {
  return executable.model.plan.embedding.vocab;
}

function tokens(executable: WebGpuExecutable, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (i * 7919 + 1) % vocabOf(executable));
}

/** After tokens in one pass, and after each of some that follow. */
async function logits(executable: WebGpuExecutable): Promise<Float32Array> {
  const state = executable.createState();
  try {
    const all = tokens(executable, CHECKED.together + CHECKED.alone);
    const first = executable.run([{ state, tokens: all.slice(0, CHECKED.together), logits: "all" }]);
    const passes = [first];
    for (const token of all.slice(CHECKED.together))
      passes.push(executable.run([{ state, tokens: [token], logits: "last" }]));
    const outputs = await Promise.all(passes.map((pass) => pass.read()));
    return Float32Array.from(outputs.flatMap(([output]) => Array.from(output!.logits)));
  } finally {
    state.dispose();
  }
}

function distance(seen: Float32Array, expected: Float32Array): number {
  let [apart, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(seen[i]! - expected[i]!);
    if (!(difference <= apart)) apart = difference;
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return apart / largest;
}

/** Milliseconds with one and with the other, in turns; the fastest round of each. */
async function race(
  executable: WebGpuExecutable,
  a: KernelChoice,
  b: KernelChoice,
  together: boolean,
): Promise<[number, number]> {
  const state = executable.createState();
  const count = Math.min(TIMED.together, executable.maxTokens);
  const work = async (): Promise<void> => {
    if (together) {
      await executable.run([{ state, tokens: tokens(executable, count), logits: "last" }]).read();
      return;
    }
    const passes = Array.from({ length: TIMED.alone }, (_, position) => {
      const sample = { temperature: 0, topK: 1, topP: 1, minP: 0, seed: 0, position };
      return executable.run([{ state, tokens: position === 0 ? [0] : SAMPLED, sample }]);
    });
    await Promise.all(passes.map((pass) => pass.read()));
  };
  const best: [number, number] = [Infinity, Infinity];
  const start = performance.now();
  try {
    for (let round = 0; round <= TIMED.rounds; round++) {
      if (round > 1 && performance.now() - start > TIMED.milliseconds) break;
      for (const [i, choice] of [a, b].entries()) {
        await executable.use(choice);
        const begin = performance.now();
        await work();
        // The first round warms up.
        if (round > 0) best[i] = Math.min(best[i]!, performance.now() - begin);
      }
    }
  } finally {
    state.dispose();
  }
  return best;
}
