import { WebGpuError } from "./errors.ts";
import type { Gpu } from "./gpu.ts";

/** A WGSL module with one entry point `main`. */
export interface KernelSource {
  readonly label: string;
  readonly wgsl: string;
  /** a letter a binding, a string a group: r storage to read, w storage to write, u uniform. */
  readonly groups: readonly string[];
}

export interface Kernel {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly layouts: readonly GPUBindGroupLayout[];
}

/** Part of a buffer. */
export interface Slice {
  readonly buffer: GPUBuffer;
  /** bytes, a multiple of 256. */
  readonly offset?: number;
  readonly size?: number;
}

const COMPUTE = 4;
const TYPES = { r: "read-only-storage", w: "storage", u: "uniform" } as const;

/** Pipelines by their text, each made once for all models of a device. */
export class Pipelines {
  readonly #gpu: Gpu;
  readonly #kernels = new Map<string, Promise<Kernel>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** how many were made. */
  get count(): number {
    return this.#kernels.size;
  }

  /** All at once, so that the driver compiles them side by side. @throws WebGpuError */
  async make<K extends string>(sources: Readonly<Record<K, KernelSource>>): Promise<Record<K, Kernel>> {
    const names = Object.keys(sources) as K[];
    const kernels = await Promise.all(names.map((name) => this.#make(sources[name])));
    return Object.fromEntries(names.map((name, i) => [name, kernels[i]!])) as Record<K, Kernel>;
  }

  layout(letters: string): GPUBindGroupLayout {
    let layout = this.#layouts.get(letters);
    if (layout === undefined) {
      layout = this.#gpu.device.createBindGroupLayout({
        label: letters,
        entries: Array.from(letters, (letter, binding) => ({
          binding,
          visibility: COMPUTE,
          buffer: { type: TYPES[letter as keyof typeof TYPES] },
        })),
      });
      this.#layouts.set(letters, layout);
    }
    return layout;
  }

  bind(letters: string, slices: readonly (GPUBuffer | Slice)[]): GPUBindGroup {
    return this.#gpu.device.createBindGroup({
      layout: this.layout(letters),
      entries: slices.map((slice, binding) => ({
        binding,
        resource: "buffer" in slice ? slice : { buffer: slice },
      })),
    });
  }

  #make(source: KernelSource): Promise<Kernel> {
    let kernel = this.#kernels.get(source.wgsl);
    if (kernel === undefined) {
      kernel = this.#compile(source);
      this.#kernels.set(source.wgsl, kernel);
      kernel.catch(() => this.#kernels.delete(source.wgsl));
    }
    return kernel;
  }

  async #compile({ label, wgsl, groups }: KernelSource): Promise<Kernel> {
    const { device } = this.#gpu;
    this.#gpu.check();
    const layouts = groups.map((letters) => this.layout(letters));
    try {
      const pipeline = await device.createComputePipelineAsync({
        label,
        layout: device.createPipelineLayout({ bindGroupLayouts: layouts }),
        compute: { module: device.createShaderModule({ label, code: wgsl }), entryPoint: "main" },
      });
      return { label, pipeline, layouts };
    } catch (cause) {
      this.#gpu.check();
      throw new WebGpuError("pipeline", `${label}: ${(cause as Error).message}`, { cause });
    }
  }
}
