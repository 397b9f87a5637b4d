import { SAMPLED, type Sampling } from "../../../kernels/backend.ts";
import type { WebGpuExecutable } from "../../../kernels/webgpu/index.ts";
import { median } from "../../lib/measure.ts";
import { randomTokens } from "./models.ts";

const GREEDY: Sampling = { temperature: 0, topK: 1, topP: 1, minP: 0, seed: 1, position: 0 };

export interface DecodeRate {
  readonly tokensPerSecond: number;
  readonly dispatches: number;
  /** of the host, to launch a token. */
  readonly launchMicroseconds: number;
}

/** Tokens a second of one sequence, chosen on the device, the host `behind` tokens behind. */
export async function decodeRate(
  executable: WebGpuExecutable,
  tokens: number,
  behind: number,
  sampling: Sampling = GREEDY,
): Promise<DecodeRate> {
  const state = executable.createState();
  let position = 0;
  const sample = (): Sampling => ({ ...sampling, position: position++ });
  await executable.run([{ state, tokens: [1], sample: sample() }]).read();
  let launching = 0;
  let dispatches = 0;
  const go = async (count: number): Promise<number> => {
    const flying: Promise<unknown>[] = [];
    const start = performance.now();
    launching = 0;
    for (let i = 0; i < count; i++) {
      const before = performance.now();
      const pass = executable.run([{ state, tokens: SAMPLED, sample: sample() }]);
      dispatches = pass.dispatches;
      flying.push(pass.read());
      launching += performance.now() - before;
      if (flying.length > behind) await flying.shift();
    }
    await Promise.all(flying);
    return (performance.now() - start) / count;
  };
  await go(Math.ceil(tokens / 4));
  const times = [await go(tokens), await go(tokens), await go(tokens)];
  state.dispose();
  return {
    tokensPerSecond: 1000 / median(times),
    dispatches,
    launchMicroseconds: (1000 * launching) / tokens,
  };
}

/** Tokens a second of one sequence when every token's logits come to the host first. */
export async function logitsRate(executable: WebGpuExecutable, tokens: number): Promise<number> {
  const state = executable.createState();
  let next = 1;
  const go = async (count: number): Promise<number> => {
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      const [output] = await executable.run([{ state, tokens: [next], logits: "last" }]).read();
      const { logits } = output!;
      next = 0;
      for (let t = 1; t < logits.length; t++) if (logits[t]! > logits[next]!) next = t;
    }
    return (1000 * count) / (performance.now() - start);
  };
  await go(4);
  const rate = await go(tokens);
  state.dispose();
  return rate;
}

/** Tokens a second of a prompt in one pass, up to the last token's logits. */
export async function prefillRate(
  executable: WebGpuExecutable,
  vocab: number,
  tokens: number,
  rounds = 7,
): Promise<number> {
  const prompt = randomTokens(tokens, vocab);
  const state = executable.createState();
  const times: number[] = [];
  for (let i = 0; i <= rounds; i++) {
    state.reset();
    const start = performance.now();
    await executable.run([{ state, tokens: prompt, logits: "last" }]).read();
    if (i > 0) times.push(performance.now() - start);
  }
  state.dispose();
  return (1000 * tokens) / median(times);
}
