import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Executable, ImageInput } from "../../kernels/backend.ts";
import { createWasmBackend, type WasmBackend } from "../../kernels/wasm/index.ts";
import { ARENA_START, instantiate, type WasmModules } from "../../kernels/wasm/kernels.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { encodedBytes } from "../../weights/layout.ts";
import { readManifest } from "../../weights/loader.ts";
import { MANIFEST_FILE } from "../../weights/manifest.ts";
import { folderSource } from "../../weights/node/folder.ts";
import type { PackageSource } from "../../weights/source.ts";
import { imageCost } from "../../worker/engine/images.ts";
import { DEFAULT_MEMORY_BUDGET } from "../../worker/engine/memory.ts";
import { Model } from "../../worker/engine/model.ts";
import { inTurns } from "../lib/measure.ts";
import { randomModel, VMAMBA_T } from "../lib/random-model.ts";
import type { Row } from "../lib/table.ts";

const MODELS = "weights/models";
const SIDE = 224;
const ROUNDS = 5;
/** Tokens of a bare product, and its sizes: those of VMamba-T's matrices, of which the fastest counts. */
const TOKENS = 64;
const PRODUCTS = [
  [384, 96],
  [768, 192],
  [1536, 384],
  [384, 1536],
  [768, 768],
  [3072, 768],
] as const;

/**
 * One image through VMamba-T's shape with random weights, and through the image models of weights/models: milliseconds, multiply-adds a second
 * over those of the fastest bare product, images a second eight at a time, and the memory that serving takes of an isolate's budget.
 */
export async function images(): Promise<Row[]> {
  const modules = await loadWasmModules();
  const backend = await createWasmBackend(modules);
  const rows: Row[] = [];
  for (const encoding of ["q8", "f32"] as const) {
    const model = await randomModel(backend, "vmamba", VMAMBA_T, encoding, { maxImage: { height: SIDE, width: SIDE } });
    rows.push(await measure("VMamba-T shape", model, encoding, backend, modules));
  }
  for (const source of await imagePackages()) {
    const { manifest, executable } = await Model.load(source, backend);
    const encoding = manifest.quantization === "f32" ? "f32" : "q8";
    rows.push(await measure(manifest.name, executable, encoding, backend, modules));
  }
  return rows;
}

async function imagePackages(): Promise<PackageSource[]> {
  const folders = readdirSync(MODELS).map((name) => join(MODELS, name));
  const sources = folders.filter((folder) => existsSync(join(folder, MANIFEST_FILE))).map(folderSource);
  const manifests = await Promise.all(sources.map((source) => readManifest(source)));
  return sources.filter((_, i) => manifests[i]!.image !== undefined);
}

async function measure(
  name: string,
  model: Executable,
  encoding: "q8" | "f32",
  backend: WasmBackend,
  modules: WasmModules,
): Promise<Row> {
  const { height, width } = model.images!.maxImage;
  const image = randomImage(height);
  const total = imageCost(model.blocks, image);
  const products = await bareProducts(encoding, backend, modules);
  const work: Record<string, () => void | Promise<void>> = {
    image: () => seeImages(model, [image]),
    eight: () => seeImages(model, Array(8).fill(image)),
    ...products.work,
  };
  const time = await inTurns(work, ROUNDS);
  const best = Math.max(...products.names.map((name) => products.multiplyAdds(name) / time[name]!));
  const { weights, activations } = model.memory;
  model.dispose();
  return {
    model: `${name}, ${height} × ${width}`,
    weights: encoding,
    "image ms": (1000 * time.image!).toFixed(0),
    GMAC: (total / 1e9).toFixed(2),
    "GMAC/s": (total / time.image! / 1e9).toFixed(1),
    "best product GMAC/s": (best / 1e9).toFixed(1),
    "image / best product": (total / time.image! / best).toFixed(2),
    "images/s, 8 a pass": (8 / time.eight!).toFixed(1),
    "weights MB": (weights / 1e6).toFixed(1),
    "buffers MB": (activations / 1e6).toFixed(1),
    "of the isolate's budget": ((weights + activations) / DEFAULT_MEMORY_BUDGET).toFixed(2),
  };
}

async function bareProducts(encoding: "q8" | "f32", backend: WasmBackend, modules: WasmModules) {
  const memory = new WebAssembly.Memory({ initial: 256 });
  const module = modules[backend.simd] as WebAssembly.Module;
  const kernels = await instantiate(module, memory, backend.dots);
  // Values of no importance, but none that is slow: zeros.
  const names = PRODUCTS.map((sizes) => sizes.join(" × "));
  const sizesOf = (name: string) => PRODUCTS[names.indexOf(name)]!;
  const repeats = 40;
  const work: Record<string, () => void> = Object.fromEntries(
    names.map((name) => {
      const [r, c] = sizesOf(name);
      const x = ARENA_START + encodedBytes([r, c], encoding);
      const input = x + 4 * TOKENS * c;
      const y = input + 80 * TOKENS * c;
      const project = encoding === "q8" ? kernels.project_q8 : kernels.project_f32;
      const prepare = encoding === "q8" ? kernels.quantize : kernels.interleave;
      return [
        name,
        () => {
          prepare(x, c, TOKENS, c, input);
          for (let i = 0; i < repeats; i++) project(ARENA_START, r, c, input, TOKENS, 0, y, r + 16, 0);
        },
      ];
    }),
  );
  return {
    work,
    names,
    multiplyAdds: (name: string): number => repeats * TOKENS * sizesOf(name)[0] * sizesOf(name)[1],
  };
}

export function randomImage(side: number): ImageInput {
  const pixels = Float32Array.from({ length: 3 * side * side }, () => 2 * (Math.random() + Math.random() - 1));
  return { height: side, width: side, pixels };
}

export async function seeImages(model: Executable, images: readonly ImageInput[]): Promise<void> {
  const pass = model.images!.begin(images);
  pass.advance();
  await pass.read();
}
