import { type Executable, SAMPLED, type Span } from "../../kernels/backend.ts";
import type { Block } from "../../kernels/blocks.ts";
import { createWebGpuBackend } from "../../kernels/webgpu/index.ts";
import { mixture, modelOf } from "../../scripts/bench/webgpu/block-models.ts";
import { compileModel, type RandomModel } from "../../scripts/bench/webgpu/models.ts";

/** What webgpu-blocks.test.ts runs inside the page: everything that is refused, and with what message. */
export default async function refusals(): Promise<Record<string, string>> {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  const backend = createWebGpuBackend(device);
  // What it says of itself is all that is looked at before anything is made on it.
  const limits = { maxStorageBufferBindingSize: 65_536, maxBufferSize: 65_536 };
  const tiny = new Proxy(device, {
    get: (target, key) => {
      const value = key === "limits" ? limits : (Reflect.get(target, key) as unknown);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const messages: Record<string, string> = {};
  const refused = async (what: string, work: () => unknown): Promise<void> => {
    try {
      await work();
      messages[what] = "nothing was wrong";
    } catch (error) {
      messages[what] = (error as Error).message;
    }
  };
  // Embedding, positions, attention, norm, head.
  const blocks = mixture(12, 17, 10).filter(({ kind }, i) => i < 3 || kind === "norm" || kind === "head");
  const small = modelOf(blocks, () => "f32");
  const compile = (model: RandomModel = small): Promise<Executable> => compileModel(backend, model, { maxTokens: 40 });
  const [ours, other] = [await compile(), await compile()];
  const fresh = (): Span => ({ state: ours.createState(), tokens: [1] });

  const eleven = Array<number>(11).fill(1);
  await refused("too many positions", () => ours.begin([{ ...fresh(), tokens: eleven }]));
  const sample = { temperature: 0, topK: 1, topP: 1, minP: 0, seed: 1, position: 0 };
  await refused("a choice", () => ours.begin([{ ...fresh(), sample }]));
  await refused("a chosen token", () => ours.begin([{ ...fresh(), tokens: SAMPLED }]));
  await refused("a state of another executable", () => ours.begin([{ ...fresh(), state: other.createState() }]));
  await refused("a copy from another executable", () => ours.createState().copyFrom(other.createState()));
  await refused("a state that is too long", () => ours.createState().write(new Float32Array(25)));
  await refused("a disposed state", () => {
    const state = ours.createState();
    state.dispose();
    return state.read();
  });
  await refused("an unread block", () => {
    const pass = ours.begin([fresh()]);
    pass.advance(1);
    return pass.read();
  });
  await refused("a pass before this one", () => {
    const pass = ours.begin([fresh()]);
    ours.begin([fresh()]);
    pass.advance();
  });
  const late = await backend.compile(small.blocks, small.tensors);
  for (const name of ["embedding", "positions"]) late.load(name, 0, small.bytes.get(name)!);
  await refused("a block that is not loaded", () => late.run([{ state: late.createState(), tokens: [1] }]));
  const headless = await compile(modelOf(blocks.slice(0, -1), () => "f32"));
  const state = headless.createState();
  await headless.run([{ state, tokens: [1, 2] }]).read();
  await refused("logits without a head", () => headless.begin([{ state, tokens: [1], logits: "last" }]));

  const mamba = modelOf(mixture(), () => "f32");
  const positive = await backend.compile(mamba.blocks, mamba.tensors);
  await refused("A that is not negative", () =>
    positive.load("4.A", 0, new Uint8Array(Float32Array.of(-1, -1, -1, 1).buffer)),
  );
  const wide = mixture(1032).map((b): Block => (b.kind === "attention" ? { ...b, heads: 1 } : b));
  await refused("heads too wide", () => compile(modelOf(wide, () => "f32")));
  const tensors = new Map(small.tensors).set("positions", { shape: [13, 12], encoding: "q8", bytes: 1088 });
  await refused("a table in q8", () => backend.compile(small.blocks, tensors));
  await refused("too many tokens for the device", () =>
    createWebGpuBackend(tiny).compile(small.blocks, small.tensors, { maxTokens: 4096 }),
  );
  await refused("too many tokens", () => backend.compile(small.blocks, small.tensors, { maxTokens: 65_536 }));
  const planned = ({ memory }: Executable): number => memory.weights + memory.activations;
  const before = backend.liveBytes;
  const measured = await compile();
  const beside = backend.liveBytes - before - planned(measured);
  messages["memory beside what was planned"] = beside >= 0 && beside < 40_000 ? "little" : `${beside} bytes`;
  const states = backend.liveBytes;
  measured.createState();
  messages["memory of a state"] =
    backend.liveBytes - states === measured.memory.statePerSequence ? "as planned" : "another";
  ours.dispose();
  await refused("a disposed executable", () => ours.createState());
  return messages;
}
