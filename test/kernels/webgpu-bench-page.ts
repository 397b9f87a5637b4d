import { createWebGpuBackend } from "../../kernels/webgpu/index.ts";
import { checkBlocks } from "../../scripts/bench/webgpu/block-checks.ts";
import { studyRates, visionRates } from "../../scripts/bench/webgpu/block-rates.ts";
import type { CheckResult } from "../../scripts/bench/webgpu/checks.ts";

/** The part of scripts/bench/webgpu.ts that is about models without fused kernels, as small as it goes. */
export default async function bench(): Promise<{ results: CheckResult[]; lines: string[] }> {
  const adapter = await navigator.gpu.requestAdapter();
  const backend = createWebGpuBackend(await adapter!.requestDevice());
  const results: CheckResult[] = [];
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  await checkBlocks(backend, (result) => results.push(result));
  await studyRates(backend, say, true);
  await visionRates(backend, say, "q8", true);
  return { results, lines };
}
