import type { Executable } from "../backend.ts";
import { WebGpuExecutable } from "./executable.ts";
import { BASELINE, type VariantName, type Variants } from "./variants.ts";

/** Tokens compared in one pass, and after them one by one. */
const CHECKED = { together: 9, alone: 4 };
/** Tokens timed: of a prompt, and one by one; rounds, of which the fastest counts. */
const TIMED = { together: 128, alone: 24, rounds: 3 };

/** Largest difference of logits from the baseline's, in proportion to the largest: rounding in another order; what backends may differ by. */
const EXACT = 1e-4;
const ROUNDED = { f32: 1e-3, quantized: 4e-2 };

/** Which variants concern a model, and what they are called. */
const NAMES: Readonly<Record<VariantName, string>> = { subgroup: "subgroups", packed: "int8 dots", half: "f16" };

export interface Tuning {
  readonly variants: Variants;
  /** what became of each variant that was offered, in words. */
  readonly notes: readonly string[];
}

/**
 * Tries what a device offers beyond core WGSL, on a loaded model: a variant is kept when its logits are the baseline's, as far as its
 * rounding allows, and it is faster. The executable then computes with what was kept. Models that run block by block have no variants.
 * @throws WebGpuError when the device fails; a variant that does not compile is only noted
 */
export async function tune(executable: Executable, offered: Variants): Promise<Tuning> {
  if (!(executable instanceof WebGpuExecutable)) return { variants: BASELINE, notes: [] };
  const encodings = new Set(Array.from(executable.model.plan.matrices.values(), ({ spec }) => spec.encoding));
  const quantized = encodings.has("q8") || encodings.has("q4");
  const rounded = quantized ? ROUNDED.quantized : ROUNDED.f32;
  const notes: string[] = [];
  let kept = BASELINE;
  if ((Object.keys(BASELINE) as VariantName[]).every((name) => offered[name] === BASELINE[name])) {
    return { variants: kept, notes };
  }
  await executable.use(kept);
  const expected = await logits(executable);
  for (const name of Object.keys(BASELINE) as VariantName[]) {
    if (offered[name] === BASELINE[name] || (name === "packed" && !quantized)) continue;
    const candidate: Variants = { ...kept, [name]: offered[name] };
    try {
      await executable.use(candidate);
    } catch (error) {
      executable.model.gpu.check();
      notes.push(`${NAMES[name]}: ${(error as Error).message}`);
      continue;
    }
    const tolerance = name === "subgroup" ? EXACT : rounded;
    const apart = distance(await logits(executable), expected);
    // A NaN is no number's neighbour.
    if (!(apart <= tolerance)) {
      notes.push(`${NAMES[name]}: ${apart.toExponential(1)} of the largest logit apart, ${tolerance} is allowed`);
    } else {
      const [before, after] = await race(executable, kept, candidate, name === "half");
      notes.push(`${NAMES[name]}: ${(before / after).toFixed(2)} times the speed`);
      if (after < before) kept = candidate;
    }
  }
  await executable.use(kept);
  return { variants: kept, notes };
}

/** Those kept, in words; "" for the baseline. */
export function describeVariants(variants: Variants): string {
  return (Object.keys(BASELINE) as VariantName[])
    .filter((name) => variants[name] !== BASELINE[name])
    .map((name) => NAMES[name])
    .join(", ");
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
  a: Variants,
  b: Variants,
  together: boolean,
): Promise<[number, number]> {
  const state = executable.createState();
  const count = Math.min(TIMED.together, executable.maxTokens);
  const work = async (): Promise<void> => {
    if (together) {
      await executable.run([{ state, tokens: tokens(executable, count), logits: "last" }]).read();
      return;
    }
    const passes = tokens(executable, TIMED.alone).map((token) =>
      executable.run([{ state, tokens: [token], logits: "last" }]),
    );
    await Promise.all(passes.map((pass) => pass.read()));
  };
  const best: [number, number] = [Infinity, Infinity];
  try {
    for (let round = 0; round <= TIMED.rounds; round++) {
      for (const [i, variants] of [a, b].entries()) {
        await executable.use(variants);
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
