import { expect, test } from "vitest";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { checkFits } from "../../worker/browser/host/budget.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { memoryOfPackage } from "../../worker/engine/memory.ts";
import { Model } from "../../worker/engine/model.ts";
import { tinyCheckpoint } from "../support/checkpoints.ts";

test.each([
  1, 8,
])("what is refused when it is loaded for %i sequences is refused before it is downloaded", async (n) => {
  const wasm = await createWasmBackend(await loadWasmModules());
  const source = new MemoryPackage();
  const manifest = await convertCheckpoint(tinyCheckpoint(), { name: "tiny", quantization: "f32" }, source);
  const need = memoryOfPackage(manifest, wasm.plan).need(n);
  const { signal } = new AbortController();
  const enough = { memoryBudget: need, sequences: n, signal };
  await checkFits(source, wasm, enough);
  (await Model.open(source, wasm, enough)).dispose();
  const tooLittle = { ...enough, memoryBudget: need - 1 };
  await expect(Model.open(source, wasm, tooLittle)).rejects.toThrow(/ needs /);
  await expect(checkFits(source, wasm, tooLittle)).rejects.toThrow(
    / needs .* larger memoryBudget \(bytes\), or with backend: "rest"/,
  );
});
