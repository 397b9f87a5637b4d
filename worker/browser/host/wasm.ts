import baseline from "../../../kernels/wasm/build/baseline.wasm?url&inline";
import relaxed from "../../../kernels/wasm/build/relaxed.wasm?url&inline";
import { createWasmBackend, hasRelaxedSimd, type WasmBackend } from "../../../kernels/wasm/index.ts";

let backend: Promise<WasmBackend> | undefined;

/** The WASM backend, from modules that the build put into this file. */
export function wasmBackend(): Promise<WasmBackend> {
  backend ??= create();
  return backend;
}

async function create(): Promise<WasmBackend> {
  const [fast, plain] = await Promise.all([hasRelaxedSimd() ? compile(relaxed) : undefined, compile(baseline)]);
  return createWasmBackend({ relaxed: fast, baseline: plain });
}

/** @param url data: URL in base64. Decoded here, for a page's policy may forbid fetching it. */
function compile(url: string): Promise<WebAssembly.Module> {
  const text = atob(url.slice(url.indexOf(",") + 1));
  return WebAssembly.compile(Uint8Array.from(text, (c) => c.charCodeAt(0)));
}
