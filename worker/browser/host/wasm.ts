import baseline from "../../../kernels/wasm/build/baseline.wasm?gzip";
import relaxed from "../../../kernels/wasm/build/relaxed.wasm?gzip";
import { createWasmBackend, hasRelaxedSimd, type WasmBackend } from "../../../kernels/wasm/index.ts";
import { BackendError } from "./errors.ts";

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

/** @param text as the build makes it. Not fetched as a data: URL, which a page's policy may forbid. */
async function compile(text: string): Promise<WebAssembly.Module> {
  if (!("DecompressionStream" in globalThis)) {
    throw new BackendError(
      'this browser has no DecompressionStream, which the kernels are unpacked with: use a newer one, or the backend "rest"',
    );
  }
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const whole = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compile(await new Response(whole).arrayBuffer());
}
