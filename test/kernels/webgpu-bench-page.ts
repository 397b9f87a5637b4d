import type { Executable } from "../../kernels/backend.ts";
import { createWebGpuBackend } from "../../kernels/webgpu/index.ts";
import { checkBlocks } from "../../scripts/bench/webgpu/block-checks.ts";
import { type Profile, studyRates, visionRates } from "../../scripts/bench/webgpu/block-rates.ts";
import type { CheckResult } from "../../scripts/bench/webgpu/checks.ts";
import { profileWork } from "../../scripts/bench/webgpu/profile.ts";

/** The part of scripts/bench/webgpu.ts that is about models without fused kernels, as small as it goes. */
export default async function bench(): Promise<{
  results: CheckResult[];
  lines: string[];
  profiled: Record<string, number>;
}> {
  const adapter = await navigator.gpu.requestAdapter();
  const requiredFeatures = (["timestamp-query"] as const).filter((feature) => adapter!.features.has(feature));
  const device = await adapter!.requestDevice({ requiredFeatures });
  const backend = createWebGpuBackend(device);
  const profiled: Record<string, number> = {};
  const times: Profile = async (name, executable, work) => {
    const kernels = await profileWork(device, executable as Executable & { profiler: undefined }, work);
    profiled[name] = kernels.reduce((sum, { count }) => sum + count, 0);
  };
  const profile = requiredFeatures.length > 0 ? times : undefined;
  const results: CheckResult[] = [];
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  await checkBlocks(backend, (result) => results.push(result));
  await studyRates(backend, say, true, profile);
  await visionRates(backend, say, "q8", true, profile);
  return { results, lines, profiled };
}
