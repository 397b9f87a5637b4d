import { Timestamps } from "./profile.ts";

/**
 * What dispatches cost that compute next to nothing and depend on each other: the floor under a decode of as many. Microseconds a
 * dispatch: of the host to record, finish and submit, and in all, the host running ahead.
 */

const STORAGE = 0x80;
const COMPUTE = 4;
const ROUNDS = 64;

export interface DispatchCost {
  readonly record: number;
  readonly finish: number;
  readonly submit: number;
  readonly all: number;
  /** of the GPU; 0 where it does not tell. */
  readonly busy: number;
}

/**
 * @param bindings of each dispatch, all of them buffers of their own
 * @param groups that they are spread over
 * @param together passes of `count` dispatches in a submission
 */
export async function dispatchCost(
  device: GPUDevice,
  count: number,
  bindings: number,
  groups: number,
  together: number,
): Promise<DispatchCost> {
  const each = bindings / groups;
  const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
  const layout = device.createBindGroupLayout({
    entries: range(each).map((binding) => ({ binding, visibility: COMPUTE, buffer: { type: "storage" } })),
  });
  const names = range(bindings).map((b) => `b${b}`);
  const code = `${names.map((b, i) => `@group(${Math.floor(i / each)}) @binding(${i % each}) var<storage, read_write> ${b}: array<u32>;`).join("\n")}
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3u) { ${names.map((b) => `${b}[id.x] += 1u;`).join(" ")} }`;
  const pipeline = await device.createComputePipelineAsync({
    layout: device.createPipelineLayout({ bindGroupLayouts: range(groups).map(() => layout) }),
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
  });
  const buffers = range(bindings).map(() => device.createBuffer({ size: 4 * 256 * 48, usage: STORAGE }));
  const bound = range(groups).map((g) =>
    device.createBindGroup({
      layout,
      entries: range(each).map((binding) => ({ binding, resource: { buffer: buffers[g * each + binding]! } })),
    }),
  );
  const spent = { record: 0, finish: 0, submit: 0 };
  const timed = <T>(what: keyof typeof spent, work: () => T): T => {
    const start = performance.now();
    const result = work();
    spent[what] += performance.now() - start;
    return result;
  };
  const timestamps = device.features.has("timestamp-query") ? new Timestamps(device, false) : undefined;
  const submission = (): void => {
    const encoder = device.createCommandEncoder();
    timed("record", () => {
      for (let p = 0; p < together; p++) {
        const timestampWrites = timestamps?.begin("");
        const options = timestampWrites === undefined ? {} : { timestampWrites };
        const pass = encoder.beginComputePass(options);
        pass.setPipeline(pipeline);
        for (let i = 0; i < count; i++) {
          for (let g = 0; g < groups; g++) pass.setBindGroup(g, bound[g]!);
          pass.dispatchWorkgroups(48);
        }
        pass.end();
      }
    });
    const commands = timed("finish", () => encoder.finish());
    timed("submit", () => device.queue.submit([commands]));
  };
  submission();
  await device.queue.onSubmittedWorkDone();
  Object.assign(spent, { record: 0, finish: 0, submit: 0 });
  const start = performance.now();
  for (let i = 0; i < ROUNDS / together; i++) submission();
  await device.queue.onSubmittedWorkDone();
  const all = performance.now() - start;
  const times = ((await timestamps?.read()) ?? []).slice(together);
  for (const buffer of buffers) buffer.destroy();
  const per = 1000 / (count * ROUNDS);
  return {
    record: per * spent.record,
    finish: per * spent.finish,
    submit: per * spent.submit,
    all: per * all,
    busy: times.reduce((sum, [begin, end]) => sum + end - begin, 0) / (count * Math.max(1, times.length)),
  };
}
