import type { Encoding } from "../../../kernels/backend.ts";
import { createWasmBackend, type WasmOptions } from "../../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../../kernels/wasm/node.ts";
import { seconds } from "../../lib/measure.ts";
import { randomMamba } from "../../lib/random-model.ts";
import type { MambaSizes } from "./mamba-gguf.ts";
import type { Runner } from "./peer.ts";

/** This project's kernels, on the one thread that JavaScript has. A prompt runs in the executable's own chunks. */
export async function openOurs(
  sizes: MambaSizes,
  encoding: Encoding,
  simd: NonNullable<WasmOptions["simd"]>,
): Promise<Runner & { readonly bytes: number }> {
  const backend = await createWasmBackend(await loadWasmModules(), { simd });
  const executable = await randomMamba(backend, { ...sizes }, encoding);
  const state = executable.createState();
  return {
    name: `mamba-edge, ${backend.simd} SIMD`,
    bytes: executable.memory.weights,
    decode: (tokens) =>
      seconds(async () => {
        for (let i = 0; i < tokens; i++) await executable.run([{ state, tokens: [i + 1], logits: "last" }]).read();
      }),
    prefill: (tokens) => {
      const prompt = Array.from({ length: tokens }, (_, i) => (i * 7) % 1000);
      state.reset();
      return seconds(async () => {
        for (let at = 0; at < tokens; at += executable.maxTokens) {
          const chunk = prompt.slice(at, at + executable.maxTokens);
          const logits = at + chunk.length === tokens ? "last" : "none";
          await executable.run([{ state, tokens: chunk, logits }]).read();
        }
      });
    },
    close: async () => executable.dispose(),
  };
}
