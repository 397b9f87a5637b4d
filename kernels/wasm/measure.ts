import { q8Bytes } from "../../weights/layout.ts";
import type { TensorSpec } from "../backend.ts";
import { type Block, matrixNames, tensorShapes } from "../blocks.ts";
import { measureReadBandwidth } from "./bandwidth.ts";
import type { WasmExecutable } from "./executable.ts";
import { createWasmBackend, type Dots } from "./index.ts";
import type { Kernels } from "./kernels.ts";
import { loadWasmModules } from "./node.ts";

/**
 * Where the time goes: `node kernels/wasm/measure.ts`. A mamba-130m with random q8 weights decodes and prefills with each way to sum
 * dots, in turns, beside plain reads of the same weights; then the kernels of one token are timed one by one. Takes about a minute.
 */

const SHAPE = { layers: 24, dim: 768, inner: 1536, state: 16, conv: 4, dtRank: 48, vocab: 50_280 };
const ROUNDS = 40;
const CHUNK = 64;

function blocks(): Block[] {
  const { dim, inner, state, conv, dtRank, vocab, layers } = SHAPE;
  const norm = (weight: string) => ({ type: "rms", weight, eps: 1e-5 }) as const;
  const mamba = (i: number): Block => ({
    kind: "mamba",
    dim,
    inner,
    state,
    conv,
    dtRank,
    norm: norm(`${i}.norm`),
    inProj: { weight: `${i}.in` },
    convWeight: `${i}.conv`,
    convBias: `${i}.conv.bias`,
    xProj: `${i}.x`,
    dtProj: { weight: `${i}.dt`, bias: `${i}.dt.bias` },
    A: `${i}.A`,
    D: `${i}.D`,
    outProj: { weight: `${i}.out` },
  });
  return [
    { kind: "embedding", vocab, dim, weight: "embedding" },
    ...Array.from({ length: layers }, (_, i) => mamba(i)),
    { kind: "norm", dim, norm: norm("norm") },
    { kind: "head", vocab, dim, proj: { weight: "embedding" } },
  ];
}

/** Weights that keep activations near 1: q8 bytes at random with one scale, −1 … −16 for A, constants for the rest. */
function randomBytes(name: string, spec: TensorSpec): Uint8Array {
  const bytes = new Uint8Array(spec.bytes);
  if (spec.encoding === "q8") {
    let seed = 1;
    for (let i = 0; i < bytes.length; i++) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0;
      bytes[i] = seed >>> 24;
    }
    const scale = new Uint16Array(new Float32Array([0.02 / Math.sqrt(spec.shape[1]!)]).buffer)[1]!;
    const halves = new Uint16Array(bytes.buffer);
    for (let tile = 0; tile < halves.length; tile += 136) halves.fill(scale, tile, tile + 8);
  } else {
    const value = name.endsWith("dt.bias") ? -4 : name.endsWith(".conv") ? 0.5 : 1;
    new Float32Array(bytes.buffer).forEach((_, i, values) => {
      values[i] = name.endsWith(".A") ? -1 - (i % SHAPE.state) : value;
    });
  }
  return bytes;
}

async function compile(dots: Dots): Promise<WasmExecutable> {
  const tensors = new Map<string, TensorSpec>();
  for (const block of blocks()) {
    const matrices = matrixNames(block);
    for (const [name, shape] of tensorShapes(block)) {
      const [rows, cols = 1] = shape as [number, number?];
      const encoding = matrices.includes(name) ? "q8" : "f32";
      tensors.set(name, { shape, encoding, bytes: encoding === "q8" ? q8Bytes(rows, cols) : 4 * rows * cols });
    }
  }
  const backend = await createWasmBackend(await loadWasmModules(), { dots });
  const executable = await backend.compile(blocks(), tensors);
  for (const [name, spec] of tensors) executable.load(name, 0, randomBytes(name, spec));
  return executable as WasmExecutable;
}

/** Milliseconds of each job, run in turns: the fastest tenth's slowest, since other work on the machine only adds. */
function inTurns(jobs: readonly (() => void)[]): number[] {
  const times = jobs.map((): number[] => []);
  for (let round = 0; round < ROUNDS + 5; round++) {
    jobs.forEach((job, i) => {
      const begun = performance.now();
      job();
      if (round >= 5) times[i]!.push(performance.now() - begun);
    });
  }
  return times.map((t) => t.sort((a, b) => a - b)[Math.floor(t.length / 10)]!);
}

const tokens = Array.from({ length: CHUNK }, (_, i) => (i * 7919) % SHAPE.vocab);

function feed(executable: WasmExecutable, count: number): () => void {
  const state = executable.createState();
  return () => void executable.run([{ state, tokens: tokens.slice(0, count), logits: "last" }]);
}

const { dots } = await createWasmBackend(await loadWasmModules());
const variants = [...new Set<Dots>([dots, "fused", "paired", "widened"])];
const executables = await Promise.all(variants.map(compile));
const times = inTurns(
  executables.flatMap((executable) => {
    const { oneStream, fourStreams } = measureReadBandwidth(executable);
    return [feed(executable, 1), feed(executable, CHUNK), oneStream, fourStreams];
  }),
);
variants.forEach((dots, i) => {
  const [decode, prefill, one, four] = times.slice(4 * i, 4 * i + 4) as [number, number, number, number];
  const { bytes } = measureReadBandwidth(executables[i]!);
  const ceiling = Math.min(one, four);
  console.log(
    `${dots.padEnd(8)} decode ${(1000 / decode).toFixed(0)} tok/s, ${(ceiling / decode).toFixed(2)} of the read ceiling`,
    `(${(bytes / ceiling / 1e6).toFixed(1)} GB/s); prefill ${((1000 * CHUNK) / prefill).toFixed(0)} tok/s`,
  );
});

/** The kernels with a clock around each call, the q8 projections by their shape. */
function timed(kernels: Kernels, spent: Map<string, number>): void {
  for (const [name, kernel] of Object.entries(kernels)) {
    if (typeof kernel !== "function") continue;
    Object.assign(kernels, {
      [name]: (...args: number[]): unknown => {
        const begun = performance.now();
        const result = kernel(...args);
        const label = name === "project_q8" ? `project ${args[1]} × ${args[2]}` : name;
        spent.set(label, (spent.get(label) ?? 0) + performance.now() - begun);
        return result;
      },
    });
  }
}

const executable = executables[variants.indexOf(dots)]!;
const spent = new Map<string, number>();
timed(executable.kernels, spent);
for (const count of [1, CHUNK]) {
  const job = feed(executable, count);
  let fastest: [string, number][] = [];
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    spent.clear();
    job();
    const total = [...spent.values()].reduce((a, b) => a + b, 0);
    if (total < least) [least, fastest] = [total, [...spent]];
  }
  console.log(`\n${dots}, µs a token in the fastest of ${ROUNDS} passes of ${count}`);
  for (const [name, ms] of fastest.sort((a, b) => b[1] - a[1])) {
    console.log(`${name.padEnd(22)} ${((1000 * ms) / count).toFixed(0).padStart(6)}`);
  }
}
