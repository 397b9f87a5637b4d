import type { Backend } from "../../../kernels/backend.ts";

/** The WebGPU backend of this browser's real GPU, or why there is none, in words. */
export async function findGpu(): Promise<Backend | string> {
  return "this release computes on WASM";
}
