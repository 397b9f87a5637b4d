import {
  BASELINE,
  createWebGpuBackend,
  offeredVariants,
  type Shapes,
  TRIED,
  type Variants,
  type WebGpuBackend,
} from "../../../kernels/webgpu/index.ts";

export interface FoundGpu {
  readonly backend: WebGpuBackend;
  /** what its kernels could use beyond core WGSL. */
  readonly offered: Variants;
  /** shapes of workgroups to be tried. */
  readonly shapes: readonly Partial<Shapes>[];
  /** the adapter, so that what was found out about it can be remembered. */
  readonly adapter: string;
}

/**
 * The WebGPU backend of this browser's GPU, or why there is none, in words.
 * @param software whether an adapter that computes on the CPU will do: WASM is faster, so only who asks for WebGPU gets it
 */
export async function findGpu(software: boolean): Promise<FoundGpu | string> {
  const { gpu } = navigator as { gpu?: GPU };
  if (gpu === undefined) return "this browser has no WebGPU";
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (adapter === null) return "WebGPU finds no GPU here";
    if (adapter.info.isFallbackAdapter && !software)
      return "WebGPU would compute on the CPU here, which WASM does faster";
    const device = await openDevice(adapter);
    const { vendor, architecture, device: model, description, isFallbackAdapter } = adapter.info;
    const found = { backend: createWebGpuBackend(device), adapter: [vendor, architecture, model, description].join() };
    // On the CPU nothing of it is faster, and each kernel compiles for seconds.
    if (isFallbackAdapter) return { ...found, offered: BASELINE, shapes: [] };
    return { ...found, offered: offeredVariants(device, gpu.wgslLanguageFeatures), shapes: TRIED };
  } catch (error) {
    return `WebGPU could not be started: ${(error as Error).message}`;
  }
}

/** With what makes it faster where the adapter has it; core WGSL needs none of it. */
async function openDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const useful: GPUFeatureName[] = ["shader-f16", "subgroups"];
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  return adapter.requestDevice({
    requiredFeatures: useful.filter((feature) => adapter.features.has(feature)),
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
  });
}
