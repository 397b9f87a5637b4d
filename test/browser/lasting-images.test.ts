import { expect, test } from "vitest";
import type { Backend, Executable, ImageRunner } from "../../kernels/backend.ts";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { PackageLoad, readManifest } from "../../weights/loader.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { compareBackends } from "../../worker/browser/host/compare.ts";
import { failoverBackend } from "../../worker/browser/host/failover.ts";
import { type MovableExecutable, movableBackend } from "../../worker/browser/host/movable.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { classify } from "../../worker/engine/images.ts";
import { Model } from "../../worker/engine/model.ts";

/** Image models on backends that are lost, or moved away from. */

const wasm = await createWasmBackend(await loadWasmModules());
const preprocessor = { size: { shortest_edge: 64 }, crop_size: 64 };
async function packageOf(name: string): Promise<MemoryPackage> {
  const memory = new MemoryPackage();
  const checkpoint = { ...(await openCheckpoint(`test/golden/${name}`)), preprocessor };
  await convertCheckpoint(checkpoint, { name, quantization: "f32" }, memory);
  return memory;
}
const memory = await packageOf("vmamba-v2-tiny");
const data = Float32Array.from({ length: 3 * 40 * 56 }, (_, i) => Math.sin(i));
const see = async (model: Model) => classify(model, { shape: [1, 3, 40, 56], data }, { observe: 1 });
const expected = await see(await Model.load(memory, wasm));

/** WASM whose passes of images fail: from where they begin, or a block, or are read. */
function mortal(where: "begin" | "advance" | "read"): Backend {
  const die = (now: boolean): void => {
    if (now) throw new Error("device lost");
  };
  const runnerOf = ({ begin, ...limits }: ImageRunner): ImageRunner => ({
    ...limits,
    begin(...args) {
      die(where === "begin");
      const pass = begin(...args);
      return {
        get block() {
          return pass.block;
        },
        advance(end) {
          die(where === "advance" && (end ?? 99) > 5);
          pass.advance(end);
        },
        async read() {
          die(where === "read");
          return pass.read();
        },
      };
    },
  });
  return {
    ...wasm,
    async compile(...args) {
      const inner = await wasm.compile(...args);
      const images = runnerOf(inner.images!);
      return new Proxy(inner, {
        get(target, key) {
          if (key === "images") return images;
          const value = Reflect.get(target, key) as unknown;
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    },
  };
}

test.each(["begin", "advance", "read"] as const)("lost at %s: the fallback sees the same", async (where) => {
  const causes: unknown[] = [];
  const backend = failoverBackend(mortal(where), {
    fallback: async () => wasm,
    reload: async (executable) => {
      for await (const _ of new PackageLoad(await readManifest(memory), executable).lead(memory));
    },
    onFailover: (cause) => causes.push(cause),
  });
  const model = await Model.load(memory, backend);
  for (let i = 0; i < 2; i++) {
    const { logits, responses } = await see(model);
    expect(logits).toEqual(expected.logits);
    expect(responses).toEqual(expected.responses);
  }
  expect(causes.map(String)).toEqual(["Error: device lost"]);
});

test("moved away in the midst of a pass, and before one: what is seen is the same", async () => {
  const model = await Model.load(memory, movableBackend(wasm));
  const executable = model.executable as MovableExecutable;
  const next = async (): Promise<Executable> => (await Model.load(memory, wasm)).executable;
  const other = await next();
  const [seen] = await Promise.all([see(model), executable.moveTo(other)]);
  expect(seen.logits).toEqual(expected.logits);
  expect(seen.responses).toEqual(expected.responses);
  await executable.moveTo(await next());
  expect(() => other.images!.begin([{ height: 40, width: 56, pixels: data }])).toThrow(/disposed/);
  expect((await see(model)).logits).toEqual(expected.logits);
});

test("what the caller did wrong is told at once, and moves nothing", async () => {
  const causes: unknown[] = [];
  const fallback = async () => wasm;
  const backend = failoverBackend(wasm, { fallback, reload: async () => {}, onFailover: (c) => causes.push(c) });
  const model = await Model.load(memory, backend);
  await expect(classify(model, { shape: [1, 3, 1, 1], data: Float32Array.of(0, Number.NaN, 0) })).rejects.toThrow(
    /value 1 of image 0 is NaN/,
  );
  expect(causes).toEqual([]);
});

test("two backends are compared on a picture", async () => {
  const model = await Model.load(memory, wasm);
  expect(await compareBackends(await Model.load(memory, wasm), model)).toMatchObject({
    reason: expect.stringMatching(/ is faster here: [\d.]+ images\/s/),
  });
  const other = await Model.load(await packageOf("vmamba-v0-tiny"), wasm);
  await expect(compareBackends(other, model)).rejects.toThrow(/its logits at position 0 are \S+ of the largest apart/);
});
