import type { Backend } from "../../kernels/backend.ts";
import { createReferenceBackend } from "../../kernels/reference/index.ts";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";

const modules = await loadWasmModules();

export const reference = createReferenceBackend();
export const wasm = await createWasmBackend(modules, { simd: "relaxed" });
export const wasmBaseline = await createWasmBackend(modules, { simd: "baseline" });

/** Rows for test.each. */
export const everyBackend: readonly (readonly [string, Backend])[] = [
  ["reference", reference],
  ["wasm, relaxed SIMD", wasm],
  ["wasm, baseline SIMD", wasmBaseline],
];
