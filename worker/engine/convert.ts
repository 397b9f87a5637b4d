import type { Checkpoint } from "../../weights/checkpoint.ts";
import type { Encoding } from "../../weights/layout.ts";
import type { Manifest } from "../../weights/manifest.ts";
import type { PackageSink } from "../../weights/source.ts";
import { buildPackage } from "../../weights/writer.ts";
import { canonicalCheckpoint } from "./architectures/index.ts";

export interface ConversionOptions {
  readonly name: string;
  /** of the matrices; everything else stays f32. */
  readonly quantization: Encoding;
  /** tensors done, of all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Writes a checkpoint of any known layout as a package, a tensor at a time.
 * @throws CheckpointError, ModelError or PackageError; nothing is left in the sink
 */
export async function convertCheckpoint(
  checkpoint: Pick<Checkpoint, "config" | "tensors" | "tokenizer" | "chatTemplate">,
  options: ConversionOptions,
  sink: PackageSink,
): Promise<Manifest> {
  const { architecture, hyperparameters, tensors } = await canonicalCheckpoint(checkpoint.config, checkpoint.tensors);
  async function* encoded(): AsyncGenerator<{
    name: string;
    shape: readonly number[];
    encoding: Encoding;
    data: Float32Array;
  }> {
    for (const [i, tensor] of tensors.entries()) {
      const encoding = tensor.matrix ? options.quantization : "f32";
      yield { name: tensor.name, shape: tensor.shape, encoding, data: await tensor.read() };
      options.onProgress?.(i + 1, tensors.length);
    }
  }
  return buildPackage(
    {
      name: options.name,
      architecture,
      hyperparameters,
      quantization: options.quantization,
      tensors: encoded(),
      ...(checkpoint.tokenizer && { tokenizer: checkpoint.tokenizer }),
      ...(checkpoint.chatTemplate && { chatTemplate: checkpoint.chatTemplate }),
    },
    sink,
  );
}
