import type { Executable, ImageInput } from "../../kernels/backend.ts";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { ARENA_START, instantiate } from "../../kernels/wasm/kernels.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { encodedBytes } from "../../weights/layout.ts";
import { imageCost } from "../../worker/engine/images.ts";
import { inTurns } from "../lib/measure.ts";
import { randomModel, VMAMBA_T } from "../lib/random-model.ts";
import type { Row } from "../lib/table.ts";

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

/** Milliseconds of one image through VMamba-T's shape, and its multiply-adds a second over those of the fastest bare product. */
export async function images(): Promise<Row[]> {
  const modules = await loadWasmModules();
  const backend = await createWasmBackend(modules);
  const rows: Row[] = [];
  for (const encoding of ["q8", "f32"] as const) {
    const size = { maxImage: { height: SIDE, width: SIDE }, maxImages: 1 };
    const model = await randomModel(backend, "vmamba", VMAMBA_T, encoding, size);
    const image = randomImage();
    const total = imageCost(model.blocks, image);
    const products = await bareProducts(encoding);
    const work: Record<string, () => void | Promise<void>> = { image: () => see(model, image), ...products.work };
    const time = await inTurns(work, ROUNDS);
    const best = Math.max(...products.names.map((name) => products.multiplyAdds(name) / time[name]!));
    const { weights, activations } = model.memory;
    rows.push({
      model: "VMamba-T shape, 224 × 224",
      weights: encoding,
      "image ms": (1000 * time.image!).toFixed(0),
      GMAC: (total / 1e9).toFixed(2),
      "GMAC/s": (total / time.image! / 1e9).toFixed(1),
      "best product GMAC/s": (best / 1e9).toFixed(1),
      "image / best product": (total / time.image! / best).toFixed(2),
      "weights MB": (weights / 1e6).toFixed(1),
      "buffers MB": (activations / 1e6).toFixed(1),
    });
    model.dispose();
  }
  return rows;

  async function bareProducts(encoding: "q8" | "f32") {
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
}

function randomImage(): ImageInput {
  const pixels = Float32Array.from({ length: 3 * SIDE * SIDE }, () => 2 * (Math.random() + Math.random() - 1));
  return { height: SIDE, width: SIDE, pixels };
}

async function see(model: Executable, image: ImageInput): Promise<void> {
  const pass = model.images!.begin([image]);
  pass.advance();
  await pass.read();
}
