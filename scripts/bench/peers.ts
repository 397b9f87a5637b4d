import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Encoding } from "../../kernels/backend.ts";
import type { Row } from "../bench.ts";
import { median } from "../lib/measure.ts";
import { MAMBA_130M } from "../lib/random-model.ts";
import { checkPeer, checkReads } from "./peers/check.ts";
import { installPeers, PEER_FOLDER } from "./peers/install.ts";
import { openLlamaCpp } from "./peers/llama-cpp.ts";
import { type FileType, mambaTensors, writeMamba } from "./peers/mamba-gguf.ts";
import { openOurs } from "./peers/ours.ts";
import type { Peer, Runner } from "./peers/peer.ts";
import { openWllama } from "./peers/wllama.ts";

interface Comparison {
  /** absent where this project has no kernels: the peers are then measured alone. */
  readonly ours?: Encoding;
  readonly theirs: FileType;
  readonly peers: readonly PeerKind[];
}

interface PeerKind {
  readonly open: (path: string) => Promise<Peer>;
  /** tokens of the prompt that is timed. */
  readonly prompt: number;
}

const ROUNDS = 5;
/** Decoding takes a fraction of a prompt's time, and is measured so many times a round. */
const DECODINGS = 3;
const DECODE = 8;
const PROMPT = 512;
const LLAMA_CPP: PeerKind = { open: openLlamaCpp, prompt: PROMPT };
/** A token takes wllama no longer in a prompt of 64 than in one of 512, and 512 would take most of the run. */
const WLLAMA: PeerKind = { open: openWllama, prompt: 64 };

/** In a Q4_0 file llama-quantize keeps the tied head in six bits; with --pure a weight takes as many bits as in ours. */
const COMPARISONS: readonly Comparison[] = [
  { ours: "q8", theirs: "Q8_0", peers: [LLAMA_CPP, WLLAMA] },
  { theirs: "Q4_0", peers: [LLAMA_CPP, WLLAMA] },
  { theirs: "Q4_0 --pure", peers: [LLAMA_CPP] },
];

interface Entry {
  readonly runner: Runner;
  /** how the matrices are stored, and the bytes of all tensors. */
  readonly weights: string;
  readonly bytes: number;
  /** tokens of the prompt that is timed; 0 where only decoding is. */
  readonly prompt: number;
  /** tokens a second, of each measurement. */
  readonly decode: number[];
  readonly prefill: number[];
}

/**
 * Tokens a second of this project and of llama.cpp, native and in WebAssembly, on a mamba-130m shape with random weights, one thread.
 * All of a comparison take turns; speeds are medians, and so are the ratios, of what was measured right after one another.
 * @throws PeerError when a peer cannot be installed, or computes something else than the model
 */
export async function peers(): Promise<Row[]> {
  await installPeers();
  const models = join(PEER_FOLDER, "models");
  await mkdir(models, { recursive: true });
  try {
    process.stderr.write("checking what the peers compute …\n");
    for (const { open } of [LLAMA_CPP, WLLAMA]) await checkPeer(open, models);
    const rows: Row[] = [];
    for (const comparison of COMPARISONS) rows.push(...(await compare(comparison, models)));
    return rows;
  } finally {
    await rm(models, { recursive: true, force: true });
  }
}

async function compare(comparison: Comparison, models: string): Promise<Row[]> {
  process.stderr.write(`measuring ${comparison.theirs}: preparing`);
  const entries: Entry[] = [];
  try {
    for await (const entry of open(comparison, models)) entries.push({ ...entry, decode: [], prefill: [] });
    // The first round warms caches and compilers, and is not counted.
    for (let round = 0; round <= ROUNDS; round++) {
      process.stderr.write(round === 0 ? ", warming up" : `, ${round} of ${ROUNDS}`);
      for (let i = 0; i < DECODINGS; i++) {
        for (const { runner, decode } of entries) decode.push(DECODE / (await runner.decode(DECODE)));
      }
      for (const { runner, prompt, prefill } of entries) {
        if (prompt > 0) prefill.push(prompt / (await runner.prefill(prompt)));
      }
      if (round === 0) for (const { decode, prefill } of entries) decode.length = prefill.length = 0;
    }
    process.stderr.write("\n");
  } finally {
    for (const { runner } of entries) await runner.close();
  }
  const [relaxed, baseline] = comparison.ours === undefined ? [] : entries;
  return entries.map((entry) => rowOf(entry, entry === relaxed || entry === baseline ? [] : [relaxed, baseline]));
}

/** This project's two variants first, then the peers. */
async function* open(
  { ours, theirs, peers }: Comparison,
  models: string,
): AsyncGenerator<Omit<Entry, "decode" | "prefill">> {
  if (ours !== undefined) {
    for (const [simd, prompt] of [
      ["auto", PROMPT],
      ["baseline", 0],
    ] as const) {
      const runner = await openOurs(MAMBA_130M, ours, simd);
      yield { runner, weights: ours, bytes: runner.bytes, prompt };
    }
  }
  const path = join(models, `mamba-130m-${theirs.replace(/\W+/g, "-")}.gguf`);
  const bytes = await writeMamba(path, MAMBA_130M, theirs);
  for (const kind of peers) {
    const runner = await kind.open(path);
    yield { runner, weights: theirs, bytes, prompt: kind.prompt };
    await checkReads(runner);
  }
}

function rowOf(entry: Entry, [relaxed, baseline]: readonly (Entry | undefined)[]): Row {
  return {
    weights: entry.weights,
    by: entry.runner.name,
    "bits a weight": ((8 * entry.bytes) / parameters()).toFixed(2),
    "decode tok/s": median(entry.decode).toFixed(1),
    "prefill tok/s": entry.prefill.length > 0 ? median(entry.prefill).toFixed(0) : "",
    "ours / it, decode": ratio(relaxed?.decode, entry.decode),
    "ours / it, prefill": ratio(relaxed?.prefill, entry.prefill),
    "ours in baseline SIMD / it, decode": ratio(baseline?.decode, entry.decode),
  };
}

function ratio(ours: readonly number[] | undefined, theirs: readonly number[]): string {
  return ours === undefined ? "" : median(ours.map((speed, turn) => speed / theirs[turn]!)).toFixed(2);
}

function parameters(): number {
  return mambaTensors(MAMBA_130M, "F32").reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}
