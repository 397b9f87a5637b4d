import baseline from "../../../kernels/wasm/build/baseline.wasm";
import relaxed from "../../../kernels/wasm/build/relaxed.wasm";
import { createWasmBackend } from "../../../kernels/wasm/index.ts";

/** The isolate's kernels. Workers compile WebAssembly when they are deployed, never from bytes, so the modules are imported. */
export const backend = await createWasmBackend({ relaxed, baseline });
