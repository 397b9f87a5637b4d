import type { CompileOptions, Executable, ImageInput } from "../../kernels/backend.ts";
import { createWebGpuBackend } from "../../kernels/webgpu/index.ts";
import { modelOf } from "../../scripts/bench/webgpu/block-models.ts";
import { compileModel } from "../../scripts/bench/webgpu/models.ts";
import { blocksOf } from "../../worker/engine/architectures/index.ts";

const SIZES = {
  ...{ channels: 1, classes: 5, dims: "14 33", depths: "1 1", inners: "17 40", dtRanks: "2 5", hiddens: "30 41" },
  ...{ state: 1, gated: false, convBias: false, stem: "conv", eps: 1e-5 },
};

/** What webgpu-images.test.ts runs inside the page: everything that is refused, and with what message. */
export default async function refusals(): Promise<Record<string, string>> {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  const backend = createWebGpuBackend(device);
  const messages: Record<string, string> = {};
  const refused = async (what: string, work: () => unknown): Promise<void> => {
    try {
      messages[what] = String(await work());
    } catch (error) {
      messages[what] = (error as Error).message;
    }
  };
  const model = modelOf(blocksOf("vmamba", SIZES), () => "f32");
  const compile = (options?: CompileOptions): Promise<Executable> =>
    compileModel(backend, model, { maxImage: { height: 64, width: 64 }, maxImages: 2, ...options });
  const ours = await compile();
  const image = (height: number, width: number): ImageInput => ({
    ...{ height, width },
    pixels: new Float32Array(height * width).fill(0.5),
  });
  const begin = (...images: ImageInput[]) => ours.images!.begin(images);

  await refused("too large", () => begin(image(65, 64)));
  await refused("a flat one that is not", async () => {
    const pass = begin(image(16, 200));
    pass.advance();
    return `${(await pass.read())[0]!.logits.length} logits`;
  });
  await refused("too many", () => begin(image(8, 8), image(8, 8), image(8, 8)));
  await refused("a block without scans", () => ours.images!.begin([image(8, 8)], 0));
  await refused("a sequence", () => ours.createState());
  await refused("an unread block", () => {
    const pass = begin(image(8, 8));
    pass.advance(2);
    return pass.read();
  });
  await refused("a pass before this one", () => {
    const pass = begin(image(8, 8));
    begin(image(8, 8));
    pass.advance();
  });
  const late = await backend.compile(model.blocks, model.tensors);
  await refused("a block that is not loaded", () => late.images!.begin([image(8, 8)]).advance());
  await refused("too large for the device", () => compile({ maxImage: { height: 4096, width: 4096 } }));
  // What it says of itself is all that is looked at before anything is made on it.
  const limits = { maxStorageBufferBindingSize: 2 ** 33, maxBufferSize: 2 ** 33 };
  const vast = new Proxy(device, {
    get: (target, key) => {
      const value = key === "limits" ? limits : (Reflect.get(target, key) as unknown);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  await refused("too large for a grid", () =>
    createWebGpuBackend(vast).plan(model.blocks, model.tensors, { maxImage: { height: 4096, width: 4096 } }),
  );
  const before = backend.liveBytes;
  const { weights, activations } = (await compile()).memory;
  const beside = backend.liveBytes - before - weights - activations;
  messages["memory beside what was planned"] = beside >= 0 && beside < 10_000 ? "little" : `${beside} bytes`;
  ours.dispose();
  await refused("a disposed executable", () => begin(image(8, 8)));
  return messages;
}
