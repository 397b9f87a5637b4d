import { type Block, matrixNames, tensorShapes } from "../../kernels/blocks.ts";
import type { PackageSink } from "../../weights/source.ts";
import { buildPackage, type TensorInput } from "../../weights/writer.ts";
import { blocksOf } from "../../worker/engine/architectures/index.ts";
import { keptQ8 } from "../../worker/engine/convert.ts";
import { MAMBA_130M } from "../lib/random-model.ts";

/** A q4 package of mamba-130m's shape with random weights: its matrices are stored as those of a real one. */
export async function writeRandom130m(sink: PackageSink, tokenizer: Uint8Array): Promise<void> {
  const blocks = blocksOf("mamba", MAMBA_130M);
  await buildPackage(
    {
      name: "random-130m",
      architecture: "mamba",
      hyperparameters: MAMBA_130M,
      quantization: "q4",
      tensors: tensors(blocks),
      tokenizer,
    },
    sink,
  );
}

async function* tensors(blocks: readonly Block[]): AsyncGenerator<TensorInput> {
  const matrices = new Set(blocks.flatMap(matrixNames));
  const q8 = keptQ8(blocks);
  const done = new Set<string>();
  for (const [name, shape] of blocks.flatMap((block) => [...tensorShapes(block)])) {
    if (done.has(name)) continue;
    done.add(name);
    const encoding = !matrices.has(name) ? "f32" : q8.has(name) ? "q8" : "q4";
    yield { name, shape, encoding, data: values(name, shape), search: false };
  }
}

/** Of such sizes that activations stay near 1 and states decay. */
function values(name: string, shape: readonly number[]): Float32Array {
  const length = shape.reduce((product, size) => product * size, 1);
  const fill = (value: (i: number) => number): Float32Array => Float32Array.from({ length }, (_, i) => value(i));
  if (/\.A$/.test(name)) return fill((i) => -1 - (i % MAMBA_130M.state));
  if (/dt_proj\.bias$/.test(name)) return fill(() => -4.6);
  if (shape.length === 1) return fill(() => 1);
  const spread = 2 / Math.sqrt(shape[1] as number);
  return fill(() => spread * (Math.random() - 0.5));
}
