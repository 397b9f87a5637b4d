import { fileURLToPath } from "node:url";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { generate } from "../../worker/engine/generate.ts";
import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";

/** One of the browser tests' packages on WASM in Node: what the browser must give too. */
export async function wasmModel(name: string) {
  const folder = fileURLToPath(new URL(`../../dist/browser-test-models/${name}`, import.meta.url));
  const model = await Model.load(folderSource(folder), await createWasmBackend(await loadWasmModules()));
  return {
    async generate(prompt: string, seed: number, maxTokens: number): Promise<string> {
      const tokens = model.requireTokenizer().encode(prompt);
      const pieces = generate(new Sequence(model), { prompt: tokens, maxTokens, sampling: { seed } });
      let text = "";
      let next = await pieces.next();
      for (; !next.done; next = await pieces.next()) text += next.value.text;
      return text + next.value.tail.text;
    },
  };
}
