import type { Backend, Executable, SequenceState } from "../../kernels/backend.ts";
import { measureReadBandwidth } from "../../kernels/wasm/bandwidth.ts";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { inTurns } from "../lib/measure.ts";
import { openModel } from "../lib/open-model.ts";
import { MAMBA_130M, randomMamba } from "../lib/random-model.ts";
import type { Row } from "../lib/table.ts";
import { BUILT_IN_MASTER } from "./built-in.ts";

const PROMPT = 512;
/** Tokens that `decoding` decodes. */
export const DECODE = 8;
const ROUNDS = 9;

/** Tokens a second of every model and quantization, and weight bytes over plain reads of the same memory. */
export async function throughput(): Promise<Row[]> {
  const modules = await loadWasmModules();
  const relaxed = await createWasmBackend(modules, { simd: "auto" });
  const baseline = await createWasmBackend(modules, { simd: "baseline" });
  const rows: Row[] = [];
  for (const encoding of ["f32", "q8", "q4"] as const) {
    const builtIn = async (backend: Backend): Promise<Executable> =>
      (await openModel(BUILT_IN_MASTER, { backend, quantization: encoding })).executable;
    rows.push(await measure("built-in", encoding, await builtIn(relaxed), await builtIn(baseline)));
    const random = (backend: Backend): Promise<Executable> => randomMamba(backend, MAMBA_130M, encoding);
    rows.push(await measure("mamba-130m shape", encoding, await random(relaxed), await random(baseline)));
  }
  return rows;
}

async function measure(model: string, encoding: string, fast: Executable, plain: Executable): Promise<Row> {
  const reads = measureReadBandwidth(fast);
  const time = await inTurns(
    {
      decode: decoding(fast, 1),
      four: decoding(fast, 4),
      eight: decoding(fast, 8),
      baseline: decoding(plain, 1),
      prefill: prefilling(fast),
      oneStream: reads.oneStream,
      fourStreams: reads.fourStreams,
    },
    ROUNDS,
  );
  const memory = reads.bytes / Math.min(time.oneStream, time.fourStreams);
  const weights = (fast.memory.weights * DECODE) / time.decode;
  fast.dispose();
  plain.dispose();
  return {
    model,
    weights: encoding,
    "weights MiB": (fast.memory.weights / 2 ** 20).toFixed(1),
    "decode tok/s": (DECODE / time.decode).toFixed(1),
    "prefill 512 tok/s": (PROMPT / time.prefill).toFixed(0),
    "weight bytes / plain read": (weights / memory).toFixed(2),
    "plain read GB/s": (memory / 1e9).toFixed(1),
    "baseline SIMD / relaxed": (time.decode / time.baseline).toFixed(2),
    "4 sequences in one pass / 4 alone": ((4 * time.decode) / time.four).toFixed(2),
    "8 / 8 alone": ((8 * time.decode) / time.eight).toFixed(2),
  };
}

/** Decodes tokens one by one, logits included, in so many sequences a pass. */
export function decoding(executable: Executable, sequences: number): () => Promise<void> {
  const states = Array.from({ length: sequences }, () => executable.createState());
  return async () => {
    for (let i = 0; i < DECODE; i++) {
      await executable.run(states.map((state) => ({ state, tokens: [i + 1], logits: "last" }))).read();
    }
  };
}

/** Runs a prompt in the executable's largest chunks, with the last token's logits. */
export function prefilling(executable: Executable): () => Promise<void> {
  const state: SequenceState = executable.createState();
  const tokens = Array.from({ length: PROMPT }, (_, i) => (i * 7) % 1000);
  return async () => {
    for (let at = 0; at < PROMPT; at += executable.maxTokens) {
      const chunk = tokens.slice(at, at + executable.maxTokens);
      await executable.run([{ state, tokens: chunk, logits: at + chunk.length === PROMPT ? "last" : "none" }]).read();
    }
  };
}
