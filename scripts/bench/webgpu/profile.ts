import { SAMPLED, type Span } from "../../../kernels/backend.ts";
import type { WebGpuExecutable } from "../../../kernels/webgpu/index.ts";

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

/** GPU time of each kernel of a pass, every dispatch in a compute pass of its own. The device must have timestamp-query. */
export async function profilePass(device: GPUDevice, executable: WebGpuExecutable, span: Span): Promise<KernelTime[]> {
  const querySet = device.createQuerySet({ type: "timestamp", count: MOST });
  const labels: string[] = [];
  executable.profiler = (label) => {
    const at = 2 * labels.length;
    labels.push(label);
    return { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  };
  await executable.run([span]).read();
  executable.profiler = undefined;
  const bytes = 16 * labels.length;
  const resolved = device.createBuffer({ size: bytes, usage: QUERY_RESOLVE | COPY_SRC });
  const staging = device.createBuffer({ size: bytes, usage: COPY_DST | MAP_READ });
  const encoder = device.createCommandEncoder();
  encoder.resolveQuerySet(querySet, 0, 2 * labels.length, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const times = new BigUint64Array(staging.getMappedRange().slice(0));
  for (const resource of [querySet, resolved, staging]) resource.destroy();
  const byLabel = new Map<string, { count: number; microseconds: number; least: number }>();
  labels.forEach((label, i) => {
    const us = Number(times[2 * i + 1]! - times[2 * i]!) / 1000;
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
  const state = executable.createState();
  const sample = { temperature: 0, topK: 1, topP: 1, minP: 0, seed: 1, position: 0 };
  for (let i = 0; i < 3; i++) await executable.run([{ state, tokens: i === 0 ? [1] : SAMPLED, sample }]).read();
  const times = await profilePass(device, executable, { state, tokens: SAMPLED, sample });
  state.dispose();
  return times;
}
