import {
  BASELINE,
  createWebGpuBackend,
  offeredVariants,
  type Tuning,
  tune,
  type Variants,
  type WebGpuBackend,
  WebGpuError,
  type WebGpuFailure,
} from "../../kernels/webgpu/index.ts";
import { PHILOX } from "../../kernels/webgpu/wgsl/philox.ts";
import { type CheckResult, checkShape, PACKED, SHAPES } from "../../scripts/bench/webgpu/checks.ts";
import { compileModel, randomModel } from "../../scripts/bench/webgpu/models.ts";
import vectors from "../engine/random-vectors.json";

/** What webgpu.test.ts runs inside the page: one device with default limits and no feature, one backend for all shapes. */

const STORAGE = 0x80 | 4 | 8;
const READBACK = 1 | 8;

async function requestDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  return adapter!.requestDevice();
}

/** The embedding of the first shape is cut in two. */
const MATRIX_LIMIT = 65_536;

export default async function checks(): Promise<{
  results: CheckResult[];
  pipelines: number;
  liveBytes: number;
  failures: (WebGpuFailure | "none")[];
  variants: { offered: Variants; notes: readonly string[]; refused: readonly string[]; kept: Variants };
  shapes: { notes: readonly string[]; remembered: Tuning };
}> {
  const device = await requestDevice();
  const backend = createWebGpuBackend(device, { matrixLimit: MATRIX_LIMIT });
  const results: CheckResult[] = [];
  for (let i = 0; i < SHAPES.length; i++) await checkShape(backend, i, (r) => results.push(r), i === 0 ? 67 : 11);
  await checkDraws(device, results);
  const variants = await checkVariants(results);
  const counts = { pipelines: backend.pipelines, liveBytes: backend.liveBytes };
  const shapes = await checkShapes(backend);
  return {
    results,
    variants,
    shapes,
    ...counts,
    failures: [await lost(device, backend), await refusedPipeline(), await refusedMemory()],
  };
}

/**
 * What this browser offers beyond core WGSL: all at once on the quantized shapes, and one after the other on one in f32, against the
 * baseline. f16 it has not: f32 stands in its place.
 */
async function checkVariants(results: CheckResult[]) {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice({ requiredFeatures: ["subgroups"] });
  const offered: Variants = { ...offeredVariants(device, navigator.gpu.wgslLanguageFeatures), half: "f32" };
  const backend = createWebGpuBackend(device, { variants: offered });
  for (let i = 1; i < SHAPES.length; i++) {
    const report = (r: CheckResult): void => void results.push({ ...r, name: `variants, ${r.name}` });
    await checkShape(backend, i, report, 11, PACKED);
  }
  const executable = await compileModel(backend, model, { maxTokens: 70, maxSequences: 3 });
  const { notes } = await tune(executable, offered);
  // Lanes that are not in one subgroup: wrong sums, which must not be kept.
  const { notes: refused, variants: kept } = await tune(executable, { ...offered, subgroup: 64, half: undefined });
  executable.dispose();
  device.destroy();
  return { offered, notes, refused, kept };
}

/** Other shapes of workgroups, each against the default; and what is remembered of them, beside a name that nobody knows. */
async function checkShapes(backend: WebGpuBackend) {
  const executable = await compileModel(backend, model, { maxTokens: 70 });
  const shapes = [{ rows: 8, channels: 128 }, { rows: 64, channels: 8 }, { gemm: { tokens: 4, quads: 2 } }] as const;
  const { notes } = await tune(executable, BASELINE, shapes);
  const remembered = await tune(executable, BASELINE, shapes, ["64 rows, 8 channels", "as it was"]);
  executable.dispose();
  return { notes, remembered };
}

/** The draws of WGSL are those of the test vectors. */
async function checkDraws(device: GPUDevice, results: CheckResult[]): Promise<void> {
  const { draws } = vectors;
  const words = draws.flatMap(({ seed, position }) => [
    ...[position >>> 0, Math.floor(position / 2 ** 32), seed >>> 0, Math.floor(seed / 2 ** 32)],
  ]);
  const input = device.createBuffer({ size: 4 * words.length, usage: STORAGE });
  const output = device.createBuffer({ size: 4 * draws.length, usage: STORAGE });
  const staging = device.createBuffer({ size: 4 * draws.length, usage: READBACK });
  device.queue.writeBuffer(input, 0, Uint32Array.from(words));
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read> counters: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;
${PHILOX}
@compute @workgroup_size(1)
fn main(@builtin(global_invocation_id) id: vec3u) { words[id.x] = philox(counters[id.x].xy, counters[id.x].zw); }
`;
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }) },
  });
  const entries = [input, output].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(draws.length);
  pass.end();
  encoder.copyBufferToBuffer(output, 0, staging, 0, 4 * draws.length);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const got = new Uint32Array(staging.getMappedRange());
  const wrong = draws.filter(({ word }, i) => got[i] !== word).length;
  results.push({ name: `${draws.length} draws, wrong ones`, error: wrong, limit: 0, ok: wrong === 0 });
}

const model = randomModel(
  { dim: 40, inner: 72, state: 16, conv: 4, dtRank: 3, vocab: 403, layers: 2, tied: true, biases: false },
  "f32",
  5,
);

async function failureOf(work: () => Promise<unknown>): Promise<WebGpuFailure | "none"> {
  try {
    await work();
    return "none";
  } catch (error) {
    if (error instanceof WebGpuError) return error.failure;
    throw error;
  }
}

/** The device is lost in the midst of a pass. */
async function lost(
  device: GPUDevice,
  backend: ReturnType<typeof createWebGpuBackend>,
): Promise<WebGpuFailure | "none"> {
  const executable = await compileModel(backend, model, { maxTokens: 70, maxSequences: 3 });
  const state = executable.createState();
  const pass = executable.run([{ state, tokens: [1], logits: "last" }]);
  device.destroy();
  const first = await failureOf(() => pass.read());
  const next = await failureOf(async () => executable.run([{ state, tokens: [1] }]));
  return first === next ? first : "none";
}

/** A driver that refuses to compile. */
async function refusedPipeline(): Promise<WebGpuFailure | "none"> {
  const device = await requestDevice();
  device.createComputePipelineAsync = () => Promise.reject(new Error("the driver gave up"));
  return failureOf(() => compileModel(createWebGpuBackend(device), model));
}

/** A driver that has no memory left. */
async function refusedMemory(): Promise<WebGpuFailure | "none"> {
  const device = await requestDevice();
  device.createComputePipelineAsync = () => Promise.resolve({} as GPUComputePipeline);
  device.createBuffer = () => {
    throw new RangeError("createBuffer failed");
  };
  return failureOf(() => compileModel(createWebGpuBackend(device), model));
}
