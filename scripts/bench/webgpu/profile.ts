import { SAMPLED, type Sampling, type SequenceState, type Span } from "../../../kernels/backend.ts";
import type { WebGpuExecutable } from "../../../kernels/webgpu/index.ts";
import type { Profiler } from "../../../kernels/webgpu/recorder.ts";

const QUERY_RESOLVE = 0x200;
const COPY_SRC = 4;
const COPY_DST = 8;
const MAP_READ = 1;
/** A query set's largest size (WebGPU §20). */
const MOST = 4096;

export interface KernelTime {
  readonly label: string;
  readonly count: number;
  /** summed. */
  readonly microseconds: number;
  readonly least: number;
}

/** Timestamps of compute passes. The device must have timestamp-query. */
export class Timestamps implements Profiler {
  readonly apart: boolean;
  readonly labels: string[] = [];
  readonly #device: GPUDevice;
  readonly #querySet: GPUQuerySet;

  constructor(device: GPUDevice, apart: boolean) {
    this.apart = apart;
    this.#device = device;
    this.#querySet = device.createQuerySet({ type: "timestamp", count: MOST });
  }

  begin(label: string): GPUComputePassTimestampWrites | undefined {
    const at = 2 * this.labels.length;
    if (at + 2 > MOST) return undefined;
    this.labels.push(label);
    return { querySet: this.#querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  /** When each pass began and ended, in microseconds. */
  async read(): Promise<readonly (readonly [number, number])[]> {
    const bytes = 16 * this.labels.length;
    const resolved = this.#device.createBuffer({ size: bytes, usage: QUERY_RESOLVE | COPY_SRC });
    const staging = this.#device.createBuffer({ size: bytes, usage: COPY_DST | MAP_READ });
    const encoder = this.#device.createCommandEncoder();
    encoder.resolveQuerySet(this.#querySet, 0, 2 * this.labels.length, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    this.#device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1);
    const times = new BigUint64Array(staging.getMappedRange().slice(0));
    for (const resource of [this.#querySet, resolved, staging]) resource.destroy();
    const since = (i: number): number => Number(times[i]! - times[0]!) / 1000;
    return this.labels.map((_, i) => [since(2 * i), since(2 * i + 1)]);
  }
}

/** GPU time of each kernel of a pass, every dispatch in a compute pass of its own. */
export async function profilePass(device: GPUDevice, executable: WebGpuExecutable, span: Span): Promise<KernelTime[]> {
  return profileWork(device, executable, () => executable.run([span]).read());
}

/** The same of whatever an executable does. */
export async function profileWork(
  device: GPUDevice,
  executable: { profiler: Profiler | undefined },
  work: () => Promise<unknown>,
): Promise<KernelTime[]> {
  const timestamps = new Timestamps(device, true);
  executable.profiler = timestamps;
  await work();
  executable.profiler = undefined;
  const times = await timestamps.read();
  const byLabel = new Map<string, { count: number; microseconds: number; least: number }>();
  timestamps.labels.forEach((label, i) => {
    const us = times[i]![1] - times[i]![0];
    const entry = byLabel.get(label) ?? { count: 0, microseconds: 0, least: Number.POSITIVE_INFINITY };
    byLabel.set(label, {
      count: entry.count + 1,
      microseconds: entry.microseconds + us,
      least: Math.min(entry.least, us),
    });
  });
  return [...byLabel].map(([label, entry]) => ({ label, ...entry }));
}

/** A token of a decode in the midst of one. */
export async function profileDecode(device: GPUDevice, executable: WebGpuExecutable): Promise<KernelTime[]> {
  const { state, sample } = await begun(executable);
  const times = await profilePass(device, executable, { state, tokens: SAMPLED, sample });
  state.dispose();
  return times;
}

async function begun(executable: WebGpuExecutable): Promise<{ state: SequenceState; sample: Sampling }> {
  const state = executable.createState();
  const sample = { temperature: 0, topK: 1, topP: 1, minP: 0, seed: 1, position: 0 };
  for (let i = 0; i < 3; i++) await executable.run([{ state, tokens: i === 0 ? [1] : SAMPLED, sample }]).read();
  return { state, sample };
}

/** Microseconds a token of a decode that runs ahead: of the host and of the GPU, and of the GPU without work between two tokens. */
export interface Overlap {
  readonly record: number;
  readonly finish: number;
  readonly submit: number;
  readonly busy: number;
  readonly idle: number;
}

/** Where the time of a decode goes, the host `behind` tokens behind. */
export async function profileOverlap(
  device: GPUDevice,
  executable: WebGpuExecutable,
  tokens: number,
  behind: number,
): Promise<Overlap> {
  const { state, sample } = await begun(executable);
  const spent = { finish: 0, submit: 0 };
  const encoders = Object.getPrototypeOf(device.createCommandEncoder()) as GPUCommandEncoder;
  const queues = Object.getPrototypeOf(device.queue) as GPUQueue;
  const { finish } = encoders;
  const { submit } = queues;
  encoders.finish = function (...args) {
    const start = performance.now();
    const buffer = finish.apply(this, args);
    spent.finish += performance.now() - start;
    return buffer;
  };
  queues.submit = function (...args) {
    const start = performance.now();
    submit.apply(this, args);
    spent.submit += performance.now() - start;
    return undefined;
  };
  const timestamps = device.features.has("timestamp-query") ? new Timestamps(device, false) : undefined;
  executable.profiler = timestamps;
  const flying: Promise<unknown>[] = [];
  let launching = 0;
  for (let i = 0; i < tokens; i++) {
    const start = performance.now();
    flying.push(executable.run([{ state, tokens: SAMPLED, sample }]).read());
    launching += performance.now() - start;
    if (flying.length > behind) await flying.shift();
  }
  await Promise.all(flying);
  executable.profiler = undefined;
  Object.assign(encoders, { finish });
  Object.assign(queues, { submit });
  state.dispose();
  const times = (await timestamps?.read()) ?? [];
  const sum = (of: (i: number) => number): number => times.reduce((s, _, i) => s + of(i), 0) / tokens;
  const each = 1000 / tokens;
  return {
    record: each * (launching - spent.finish - spent.submit),
    finish: each * spent.finish,
    submit: each * spent.submit,
    busy: sum((i) => times[i]![1] - times[i]![0]),
    idle: sum((i) => (i === 0 ? 0 : Math.max(0, times[i]![0] - times[i - 1]![1]))),
  };
}
