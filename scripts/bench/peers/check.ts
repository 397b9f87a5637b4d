import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Executable, TensorSpec } from "../../../kernels/backend.ts";
import { createReferenceBackend } from "../../../kernels/reference/index.ts";
import { blocksOf } from "../../../worker/engine/architectures/index.ts";
import { decodeGgml, encodeGgml } from "./ggml-types.ts";
import { type FileType, type MambaSizes, mambaTensors, writeMamba } from "./mamba-gguf.ts";
import { type Peer, PeerError } from "./peer.ts";
import { randomValues } from "./random-values.ts";
import { letters } from "./vocabulary.ts";

/** A small model with every kind of tensor that the large one has: 256 columns fill a block of Q6_K, 16 none. */
const SMALL: MambaSizes = {
  vocab: 512,
  dim: 256,
  layers: 2,
  inner: 512,
  state: 16,
  conv: 4,
  dtRank: 16,
  eps: 1e-5,
  tied: true,
  bias: false,
  convBias: true,
};

/** Largest difference of a logarithm of a probability, as part of the largest logit. The peers round activations to 8 bits, not in f32. */
const TOLERANCE = (fileType: FileType): number => (fileType === "F32" ? 1e-3 : 4e-2);

const PROMPTS = [letters(9, 3), letters(14, 11)];

/**
 * Runs small random models through the peers and the reference backend, which computes with the values that the file's bytes mean: only
 * when they agree does the writer write, and the peer compute, the model that is measured.
 * @throws PeerError when they do not
 */
export async function checkPeer(open: (path: string) => Promise<Peer>, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const fileType of ["F32", "Q8_0", "Q4_0", "Q4_0 --pure"] as const) {
    const path = join(folder, `small-${fileType.replace(/\W+/g, "-")}.gguf`);
    await writeMamba(path, SMALL, fileType);
    const peer = await open(path);
    const expected = await reference(fileType);
    try {
      let worst = 0;
      for (const prompt of PROMPTS)
        worst = Math.max(worst, difference(await expected(prompt), await peer.logProbs(prompt)));
      process.stderr.write(`  ${peer.name}, ${fileType}: differs from the reference by ${worst.toExponential(1)}\n`);
      if (!(worst <= TOLERANCE(fileType))) {
        throw new PeerError(
          `${peer.name} computes another model than the reference from a ${fileType} file: log-probabilities differ by ${worst} of the largest logit, at most ${TOLERANCE(fileType)} is expected`,
        );
      }
    } finally {
      await peer.close();
    }
  }
}

/** Passes when the model's outputs are numbers and depend on the prompt. @throws PeerError */
export async function checkReads(peer: Peer): Promise<void> {
  const a = await peer.logProbs(PROMPTS[0]!);
  const b = await peer.logProbs(PROMPTS[1]!);
  const numbers = [...a.values(), ...b.values()];
  const differs = [...a].some(([token, value]) => value !== b.get(token));
  if (numbers.length > 0 && numbers.every(Number.isFinite) && differs) return;
  throw new PeerError(
    `${peer.name} does not read its prompts: log-probabilities are ${numbers.slice(0, 3).join(", ")} …`,
  );
}

/** Logits of the reference backend after a prompt. */
async function reference(fileType: FileType): Promise<(prompt: readonly number[]) => Promise<Float32Array>> {
  const tensors = mambaTensors(SMALL, fileType);
  const specs = new Map<string, TensorSpec>(
    tensors.map(({ name, shape }) => [name, { shape, encoding: "f32", bytes: 4 * shape.reduce((a, b) => a * b, 1) }]),
  );
  const executable: Executable = await createReferenceBackend().compile(blocksOf("mamba", { ...SMALL }), specs);
  for (const { name, shape, type } of tensors) {
    const values = decodeGgml(type, encodeGgml(type, randomValues(name, shape)));
    executable.load(name, 0, new Uint8Array(values.buffer));
  }
  return async (prompt) => {
    const state = executable.createState();
    const [output] = await executable.run([{ state, tokens: prompt, logits: "last" }]).read();
    return output!.logits;
  };
}

/** Of the tokens that the peer reports, which are to be the reference's likeliest. */
function difference(logits: Float32Array, logProbs: ReadonlyMap<number, number>): number {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const size = logits.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const total = largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
  let worst = logProbs.size === 0 ? Infinity : 0;
  for (const [token, logProb] of logProbs) {
    worst = Math.max(worst, Math.abs(logProb - (logits[token]! - total)) / size);
  }
  const best = Math.max(...logProbs.values());
  return Math.max(worst, Math.abs(best - (largest - total)) / size);
}
