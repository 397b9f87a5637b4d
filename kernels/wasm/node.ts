import { readFile } from "node:fs/promises";
import { KernelError } from "../backend.ts";
import type { WasmModules } from "./kernels.ts";
import { hasRelaxedSimd } from "./simd.ts";

/** The modules that `npm run build:kernels` compiled, for Node. @throws KernelError when they are not there */
export async function loadWasmModules(): Promise<WasmModules> {
  const [relaxed, baseline] = await Promise.all([
    hasRelaxedSimd() ? compileFile("relaxed") : undefined,
    compileFile("baseline"),
  ]);
  return { relaxed, baseline };
}

/**
 * A relaxed module with relaxed_madd, which `node kernels/wasm/build.ts madd` compiled: for measurements, as its bits are the host's own.
 * @throws KernelError when it is not there
 */
export async function loadMaddModule(): Promise<WebAssembly.Module> {
  return compileFile("madd");
}

async function compileFile(variant: string): Promise<WebAssembly.Module> {
  const url = new URL(`build/${variant}.wasm`, import.meta.url);
  const bytes = await readFile(url).catch((cause: unknown) => {
    throw new KernelError(`${url.pathname} is missing: run \`node kernels/wasm/build.ts ${variant}\` first`, { cause });
  });
  return WebAssembly.compile(bytes);
}
