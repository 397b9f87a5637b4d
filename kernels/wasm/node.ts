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

async function compileFile(variant: string): Promise<WebAssembly.Module> {
  const url = new URL(`build/${variant}.wasm`, import.meta.url);
  const bytes = await readFile(url).catch((cause: unknown) => {
    throw new KernelError(`${url.pathname} is missing: run \`npm run build:kernels\` first`, { cause });
  });
  return WebAssembly.compile(bytes);
}
