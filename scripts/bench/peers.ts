import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Encoding } from "../../kernels/backend.ts";
import { median } from "../lib/measure.ts";
import { MAMBA_130M } from "../lib/random-model.ts";
import type { Row } from "../lib/table.ts";
import { checkPeer, checkReads } from "./peers/check.ts";
import { PEERS as INSTALLED, installPeers, PEER_FOLDER } from "./peers/install.ts";
import { openLlamaCpp } from "./peers/llama-cpp.ts";
import { type FileType, mambaTensors, writeMamba } from "./peers/mamba-gguf.ts";
import { openOurs } from "./peers/ours.ts";
import type { Peer, Runner } from "./peers/peer.ts";
import { openWllama } from "./peers/wllama.ts";

/** Ours are compared with the peers of as many bits; peers without a counterpart are measured alone. */
type Bits = 8 | 4;

const OURS: readonly { readonly bits: Bits; readonly encoding: Encoding }[] = [
  { bits: 8, encoding: "q8" },
  { bits: 4, encoding: "q4" },
];

/** In a Q4_0 file llama-quantize keeps the tied head in six bits; with --pure a weight takes as many bits as in ours. */
const PEERS: readonly PeerCase[] = [
  { bits: 8, file: "Q8_0", kind: "llama.cpp" },
  { bits: 8, file: "Q8_0", kind: "wllama" },
  { bits: 4, file: "Q4_0", kind: "llama.cpp" },
  { bits: 4, file: "Q4_0 --pure", kind: "llama.cpp" },
  { bits: 4, file: "Q4_0", kind: "wllama" },
];

interface PeerCase {
  readonly bits: Bits;
  readonly file: FileType;
  readonly kind: keyof typeof KINDS;
}

const PROMPT = 512;
const KINDS = {
  "llama.cpp": { open: openLlamaCpp, prompt: PROMPT },
  // A token takes wllama no longer in a prompt of 64 than in one of 512, and 512 would take most of the run.
  wllama: { open: openWllama, prompt: 64 },
} satisfies Record<string, { open: (path: string) => Promise<Peer>; prompt: number }>;

const ROUNDS = 5;
/** Decoding takes a fraction of a prompt's time, and is measured so many times a round. */
const DECODINGS = 3;
const DECODE = 8;
/** Tokens of a prompt that have caches filled and WebAssembly compiled for speed. */
const WARM_UP = 128;

interface Contestant {
  readonly bits: Bits;
  readonly role: "ours" | "ours, baseline SIMD" | "peer";
  /** how the matrices are stored, and the bytes of all tensors. */
  readonly weights: string;
  readonly bytes: number;
  readonly runner: Runner;
  /** tokens of the prompt that is timed; 0 where only decoding is. */
  readonly prompt: number;
}

interface Entry extends Contestant {
  /** tokens a second, of each measurement. */
  readonly decode: number[];
  readonly prefill: number[];
}

/**
 * Tokens a second of this project and of llama.cpp, native and in WebAssembly, on a mamba-130m shape with random weights, one thread.
 * All take turns; speeds are medians, and so are the ratios, of measurements of the same turn.
 * @throws PeerError when a peer cannot be installed, or computes something else than the model
 */
export async function peers(): Promise<Row[]> {
  await installPeers(INSTALLED.text);
  const models = join(PEER_FOLDER, "models");
  await mkdir(models, { recursive: true });
  const entries: Entry[] = [];
  try {
    process.stderr.write("checking what the peers compute …\n");
    for (const { open } of Object.values(KINDS)) await checkPeer(open, models);
    process.stderr.write("loading …\n");
    for await (const contestant of open(models)) entries.push({ ...contestant, decode: [], prefill: [] });
    process.stderr.write("warming up …\n");
    await measure(entries, WARM_UP);
    for (const { decode, prefill } of entries) decode.length = prefill.length = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      process.stderr.write(`round ${round} of ${ROUNDS} …\n`);
      await measure(entries, PROMPT);
    }
  } finally {
    await Promise.allSettled(entries.map(({ runner }) => runner.close()));
    await rm(models, { recursive: true, force: true });
  }
  return entries.map((entry) => rowOf(entry, entries));
}

/** Those of as many bits one after another, ours first. */
async function* open(models: string): AsyncGenerator<Contestant> {
  const written = new Map<FileType, number>();
  for (const bits of [8, 4] as const) {
    for (const { encoding } of OURS.filter((o) => o.bits === bits)) {
      const relaxed = await openOurs(MAMBA_130M, encoding, "auto");
      yield { bits, role: "ours", weights: encoding, bytes: relaxed.bytes, runner: relaxed, prompt: PROMPT };
      const baseline = await openOurs(MAMBA_130M, encoding, "baseline");
      yield {
        bits,
        role: "ours, baseline SIMD",
        weights: encoding,
        bytes: baseline.bytes,
        runner: baseline,
        prompt: 0,
      };
    }
    for (const { file, kind } of PEERS.filter((p) => p.bits === bits)) {
      const path = join(models, `mamba-130m-${file.replace(/\W+/g, "-")}.gguf`);
      // Once: a file that is written anew changes under a peer that has it mapped.
      const bytes = written.get(file) ?? (await writeMamba(path, MAMBA_130M, file));
      written.set(file, bytes);
      const { open, prompt } = KINDS[kind];
      const runner = await open(path);
      yield { bits, role: "peer", weights: file, bytes, runner, prompt };
      await checkReads(runner);
    }
  }
}

/** One turn of everyone. @param most tokens that a prompt may have */
async function measure(entries: readonly Entry[], most: number): Promise<void> {
  for (let i = 0; i < DECODINGS; i++) {
    for (const { runner, decode } of entries) decode.push(DECODE / (await runner.decode(DECODE)));
  }
  for (const { runner, prompt, prefill } of entries) {
    const tokens = Math.min(prompt, most);
    if (tokens > 0) prefill.push(tokens / (await runner.prefill(tokens)));
  }
}

function rowOf(entry: Entry, entries: readonly Entry[]): Row {
  const counterpart = (role: Entry["role"]): Entry | undefined =>
    entry.role === "peer" ? entries.find((e) => e.bits === entry.bits && e.role === role) : undefined;
  const parameters = mambaTensors(MAMBA_130M, "F32").reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0);
  return {
    weights: entry.weights,
    by: entry.runner.name,
    "bits a weight": ((8 * entry.bytes) / parameters).toFixed(2),
    "decode tok/s": median(entry.decode).toFixed(1),
    "prefill tok/s": entry.prefill.length > 0 ? median(entry.prefill).toFixed(0) : "",
    "ours / it, decode": ratio(counterpart("ours")?.decode, entry.decode),
    "ours / it, prefill": ratio(counterpart("ours")?.prefill, entry.prefill),
    "ours in baseline SIMD / it, decode": ratio(counterpart("ours, baseline SIMD")?.decode, entry.decode),
  };
}

function ratio(ours: readonly number[] | undefined, theirs: readonly number[]): string {
  return ours === undefined ? "" : median(ours.map((speed, turn) => speed / theirs[turn]!)).toFixed(2);
}
