import { importPeer, peerVersion } from "./install.ts";
import { type Peer, PeerError } from "./peer.ts";

/** The prompt fits one batch: llama.cpp then multiplies with all its tokens at once. */
const BATCH = 512;

/** What is used of node-llama-cpp, whose `_ctx` is the binding itself: llama_batch_add and llama_decode. */
interface NodeLlamaCpp {
  getLlama(options: object): Promise<Llama>;
}
interface Llama {
  readonly gpu: false | string;
  readonly llamaCppRelease: { readonly release: string };
  loadModel(options: object): Promise<Disposable & { createContext(options: object): Promise<Context> }>;
  dispose(): Promise<void>;
}
interface Disposable {
  dispose(): Promise<void>;
}
interface Context extends Disposable {
  readonly _ctx: Binding;
  getSequence(): Sequence;
}
interface Binding {
  initBatch(size: number): void;
  /** @param logits places within `tokens` whose logits are computed */
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logits: Uint32Array): void;
  decodeBatch(): Promise<void>;
  disposeSequence(sequence: number): void;
  getThreads(): number;
  setThreads(threads: number): void;
}
interface Sequence {
  clearHistory(): Promise<void>;
  controlledEvaluate(
    input: (number | [number, { generateNext: { logits: true } }])[],
  ): Promise<({ next: { logits: Map<number, number> } } | undefined)[]>;
}

async function loadBinary(): Promise<Llama> {
  try {
    const { getLlama } = await importPeer<NodeLlamaCpp>("node-llama-cpp");
    return await getLlama({ gpu: false, build: "never", skipDownload: true, maxThreads: 1, logLevel: "error" });
  } catch (cause) {
    throw new PeerError(
      `llama.cpp as node-llama-cpp ships it does not load here: ${cause}\nDelete dist/peers to install it anew`,
      { cause },
    );
  }
}

/**
 * llama.cpp as node-llama-cpp ships it, native for this processor's instructions, in this process.
 *
 * One thread for decoding and prompts alike (checked by processor time), no GPU, batch = micro-batch = 512. All else is as it comes:
 * mmap, and what can be repacked for the processor is. Flash attention has nothing to do in a Mamba and is off. What is timed is
 * llama_decode alone, logits of the last token included: tokens are given, so nothing is sampled.
 */
export async function openLlamaCpp(path: string): Promise<Peer> {
  const llama = await loadBinary();
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: 4096,
    batchSize: BATCH,
    sequences: 1,
    threads: 1,
    flashAttention: false,
  });
  const sequence = context.getSequence();
  const binding = context._ctx;
  binding.setThreads(1);
  let position = 0;

  const clear = (): void => {
    binding.disposeSequence(0);
    position = 0;
  };
  /** Seconds of llama_decode. */
  const evaluate = async (tokens: Uint32Array, logits: boolean): Promise<number> => {
    binding.initBatch(tokens.length);
    binding.addToBatch(0, position, tokens, logits ? Uint32Array.of(tokens.length - 1) : new Uint32Array());
    position += tokens.length;
    const start = performance.now();
    const processor = process.cpuUsage();
    await binding.decodeBatch();
    const took = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(processor);
    if (binding.getThreads() !== 1 || (took > 0.3 && (user + system) / 1e6 > 1.3 * took)) {
      throw new PeerError(`llama.cpp computes on more than one thread: ${(user + system) / 1e6} s in ${took} s`);
    }
    return took;
  };

  return {
    name: `llama.cpp ${llama.llamaCppRelease.release} (node-llama-cpp ${peerVersion("node-llama-cpp")})`,
    async decode(tokens) {
      let total = 0;
      for (let i = 0; i < tokens; i++) total += await evaluate(Uint32Array.of(i + 1), true);
      return total;
    },
    async prefill(tokens) {
      clear();
      let total = 0;
      for (let at = 0; at < tokens; at += BATCH) {
        const chunk = Uint32Array.from({ length: Math.min(BATCH, tokens - at) }, (_, i) => ((at + i) * 7) % 1000);
        total += await evaluate(chunk, at + chunk.length === tokens);
      }
      return total;
    },
    async logProbs(prompt) {
      await sequence.clearHistory();
      const [last, ...rest] = [...prompt].reverse() as [number, ...number[]];
      const outputs = await sequence.controlledEvaluate([
        ...rest.reverse(),
        [last, { generateNext: { logits: true } }],
      ]);
      const logits = outputs.at(-1)!.next.logits;
      await sequence.clearHistory();
      clear();
      const largest = Math.max(...logits.values());
      let sum = 0;
      for (const logit of logits.values()) sum += Math.exp(logit - largest);
      return new Map([...logits].map(([token, logit]) => [token, logit - largest - Math.log(sum)]));
    },
    async close() {
      await context.dispose();
      await model.dispose();
      await llama.dispose();
    },
  };
}
