import { type Block, outputWidth } from "../../kernels/blocks.ts";
import { takesImages } from "../../kernels/image-blocks.ts";
import type { Checkpoint } from "../../weights/checkpoint.ts";
import { type Encoding, encodedBytes } from "../../weights/layout.ts";
import type { Manifest } from "../../weights/manifest.ts";
import type { PackageSink } from "../../weights/source.ts";
import { buildPackage, shardSizes, type TensorInput } from "../../weights/writer.ts";
import { blocksOf, canonicalCheckpoint } from "./architectures/index.ts";
import { readImageInput } from "./image-preprocessor.ts";
import type { PackageOutline } from "./memory.ts";

export interface ConversionOptions {
  readonly name: string;
  /** of the matrices; everything else stays f32. With q4 some stay q8: `keptQ8`. */
  readonly quantization: Encoding;
  /** by tensor name, a number a column: what a squared error there costs. For q4; columns count alike where it is absent. */
  readonly importance?: ReadonlyMap<string, ArrayLike<number>> | undefined;
  /** false: take q4's scales from the largest weights, without a search. */
  readonly search?: boolean | undefined;
  /** of models that learn from examples, where config.json does not say: the manifest's. */
  readonly trainedExamples?: number | undefined;
  /** tensors done, of all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** each tensor as it is written; its data is not to be kept. */
  readonly onTensor?: (tensor: TensorInput, bytes: Uint8Array) => void;
}

/**
 * Writes a checkpoint of any known layout as a package, a tensor at a time.
 * @throws CheckpointError, ModelError or PackageError; nothing is left in the sink
 */
export async function convertCheckpoint(
  checkpoint: Pick<Checkpoint, "config" | "tensors" | "tokenizer" | "chatTemplate" | "preprocessor">,
  options: ConversionOptions,
  sink: PackageSink,
): Promise<Manifest> {
  const { quantization, importance, search } = options;
  const { architecture, hyperparameters, tensors, image, trainedExamples } = await readCheckpoint(
    checkpoint,
    quantization,
  );
  async function* encoded(): AsyncGenerator<TensorInput> {
    for (const [i, tensor] of tensors.entries()) {
      const { name, shape, encoding } = tensor;
      yield { name, shape, encoding, data: await tensor.read(), importance: importance?.get(name), search };
      options.onProgress?.(i + 1, tensors.length);
    }
  }
  return buildPackage(
    {
      name: options.name,
      architecture,
      hyperparameters,
      quantization,
      tensors: encoded(),
      ...(checkpoint.tokenizer && { tokenizer: checkpoint.tokenizer }),
      ...(image && { image }),
      trainedExamples: options.trainedExamples ?? trainedExamples,
      ...(checkpoint.chatTemplate && { chatTemplate: checkpoint.chatTemplate }),
    },
    sink,
    options.onTensor,
  );
}

/**
 * What a checkpoint's package will hold at a quantization, without writing it: for what it takes in memory.
 * @throws CheckpointError, ModelError or PackageError as `convertCheckpoint` does
 */
export async function outlinePackage(
  checkpoint: Pick<Checkpoint, "config" | "tensors" | "preprocessor">,
  quantization: Encoding,
): Promise<PackageOutline> {
  const { architecture, hyperparameters, image, ...read } = await readCheckpoint(checkpoint, quantization);
  const tensors = read.tensors.map(({ name, shape, encoding }) => ({
    ...{ name, shape, encoding },
    bytes: encodedBytes(shape, encoding),
  }));
  const shards = shardSizes(tensors).map((bytes) => ({ bytes }));
  return { architecture, hyperparameters, tensors, shards, image };
}

/** A checkpoint in the project's terms, and how each tensor is to be encoded. */
async function readCheckpoint(
  { config, tensors: given, preprocessor }: Pick<Checkpoint, "config" | "tensors" | "preprocessor">,
  quantization: Encoding,
) {
  const { architecture, hyperparameters, trainedExamples, ...read } = await canonicalCheckpoint(config, given);
  const blocks = blocksOf(architecture, hyperparameters);
  const image = takesImages(blocks) ? readImageInput(preprocessor, config, outputWidth(blocks)) : undefined;
  const q8 = quantization === "q4" ? keptQ8(blocks) : new Set<string>();
  const tensors = read.tensors.map((tensor) => {
    const encoding: Encoding = !tensor.matrix ? "f32" : q8.has(tensor.name) ? "q8" : quantization;
    return { ...tensor, encoding };
  });
  return { architecture, hyperparameters, tensors, image, trainedExamples };
}

/**
 * The matrices that a q4 package keeps as q8, where a weight's four more bits gain most (measured in weights/README.md): those that
 * choose Δ, B and C, a twentieth of a model, and the first block's out_proj, whose errors every later block sees. Of image models, x_proj
 * and the stem.
 */
export function keptQ8(blocks: readonly Block[]): Set<string> {
  const mambas = blocks.filter((b) => b.kind === "mamba");
  const stem = takesImages(blocks) ? blocks.slice(0, 2).filter((b) => b.kind === "conv2d") : [];
  return new Set([
    ...stem.map((b) => b.conv.weight),
    ...blocks.flatMap((b) => (b.kind === "ss2d" ? [b.xProj] : [])),
    ...mambas.flatMap((b) => [b.xProj, b.dtProj.weight]),
    ...mambas.slice(0, 1).map((b) => b.outProj.weight),
  ]);
}
