import { type Block, inputWidth, outputWidth } from "../../../kernels/blocks.ts";
import { takesImages } from "../../../kernels/image-blocks.ts";
import { stateLayout, stateLength } from "../../../kernels/state.ts";
import type { Manifest } from "../../../weights/manifest.ts";
import { ModelError } from "../../engine/errors.ts";
import type { ModelInfo } from "../client/api.ts";

/** What a package is, told from its manifest alone. @throws ModelError when it is of an image model */
export function modelInfo(manifest: Manifest, blocks: readonly Block[]): ModelInfo {
  if (takesImages(blocks)) throw new ModelError(`package ${manifest.id} is fed images: load it with loadImageModel`);
  const embedding = blocks.find((block) => block.kind === "embedding");
  const elements = ({ shape }: { shape: readonly number[] }): number => shape.reduce((a, b) => a * b, 1);
  return {
    id: manifest.id,
    name: manifest.name,
    architecture: manifest.architecture,
    quantization: manifest.quantization,
    vocab: embedding?.vocab ?? 0,
    inputs: inputWidth(blocks),
    outputs: inputWidth(blocks) === 0 ? 0 : outputWidth(blocks),
    ...(manifest.trainedExamples !== undefined && { trainedExamples: manifest.trainedExamples }),
    layers: new Set(stateLayout(blocks).map((part) => part.block)).size,
    dim: blocks.at(-1)?.dim ?? 0,
    parameters: manifest.tensors.reduce((sum, tensor) => sum + elements(tensor), 0),
    bytes: manifest.shards.reduce((sum, shard) => sum + shard.bytes, 0),
    stateBytes: 4 * stateLength(stateLayout(blocks)),
    chatTemplate: manifest.chatTemplate !== undefined,
  };
}
