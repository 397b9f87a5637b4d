import { takesImages } from "../../../../kernels/image-blocks.ts";
import type { Manifest } from "../../../../weights/manifest.ts";
import { blocksOf } from "../../../engine/architectures/index.ts";
import { ModelError, ParameterError } from "../../../engine/errors.ts";
import { cropOf, prepare } from "../../../engine/image/prepare.ts";
import { bestClasses, classify, imageStages } from "../../../engine/images.ts";
import type { Model } from "../../../engine/model.ts";
import type { BackendName, ImageClassification, ImageModelInfo } from "../../client/api.ts";
import type { WireClassifyOptions } from "../../protocol.ts";
import type { Edge } from "../edge.ts";
import type { Chosen } from "../host-model.ts";
import { decodePicture, pictureForEdge } from "./picture.ts";

/** An image model in the Web Worker, wherever it computes. */
export interface HostImageModel {
  readonly info: ImageModelInfo;
  readonly backend: BackendName;
  readonly reason: string;
  classify(picture: Blob, options: WireClassifyOptions, signal: AbortSignal): Promise<ImageClassification>;
  dispose(): void;
}

const TOP_K = 5;

/** Told from the manifest alone. @throws ModelError when it is of no image model */
export function imageModelInfo(manifest: Manifest): ImageModelInfo {
  const blocks = blocksOf(manifest.architecture, manifest.hyperparameters);
  const { id, name, architecture, quantization, image, shards, tensors } = manifest;
  if (!takesImages(blocks) || image === undefined)
    throw new ModelError(`package ${id} is not fed images: load it with loadModel`);
  const elements = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
  return {
    id,
    name,
    architecture,
    quantization,
    parameters: tensors.reduce((sum, { shape }) => sum + elements(shape), 0),
    bytes: shards.reduce((sum, shard) => sum + shard.bytes, 0),
    height: image.height,
    width: image.width,
    stages: imageStages(blocks).length - 2, // without stem and head
    ...(image.classes && { classes: image.classes }),
  };
}

export function localImageModel(model: Model, chosen: Chosen): HostImageModel {
  const info = imageModelInfo(model.manifest);
  const spec = model.manifest.image!;
  return {
    info,
    get backend() {
      return chosen.backend;
    },
    get reason() {
      return chosen.reason;
    },
    async classify(picture, options, signal) {
      const { topK, observe } = check(options, info);
      const begin = performance.now();
      const { raster, size } = await decodePicture(picture);
      const pixels = { shape: [1, 3, spec.height, spec.width] as const, data: prepare(raster, spec) };
      const decodeMs = performance.now() - begin;
      signal.throwIfAborted();
      const { logits, stages, responses } = await classify(model, pixels, { signal, observe });
      const totalMs = performance.now() - begin;
      const { backend } = chosen;
      return {
        classes: bestClasses(logits, topK, spec.classes),
        size,
        crop: cropOf(size, spec),
        ...(responses[0] && { scans: { ...responses[0], values: [...responses[0].values] } }),
        decodeMs,
        // A GPU is only told what to do stage by stage; when it has done it shows at the end.
        stages: backend === "webgpu" ? [{ stage: "all stages", milliseconds: totalMs - decodeMs }] : stages,
        totalMs,
        backend,
      };
    },
    dispose: () => model.dispose(),
  };
}

/** What of the edge's reply is used: worker/edge/schemas/images.ts. */
interface Reply {
  readonly data: readonly [Pick<ImageClassification, "classes" | "scans">];
  readonly timings: {
    readonly wall_milliseconds_across_io: { readonly decode: number; readonly stages: ImageClassification["stages"] };
  };
}

export function remoteImageModel(edge: Edge, manifest: Manifest, reason: string): HostImageModel {
  const info = imageModelInfo(manifest);
  return {
    info,
    backend: "rest",
    reason,
    async classify(picture, options, signal) {
      const { topK, observe } = check(options, info);
      const begin = performance.now();
      const { body, size } = await pictureForEdge(picture);
      const query = new URLSearchParams({ model: info.id, top_k: String(topK) });
      if (observe !== undefined) query.set("observe", String(observe));
      const response = await edge.request("POST", `/v1/images/classifications?${query}`, { picture: body, signal });
      const { data, timings } = (await response.json()) as Reply;
      const { decode, stages } = timings.wall_milliseconds_across_io;
      const [{ classes, scans }] = data;
      return {
        classes,
        size,
        crop: cropOf(size, manifest.image!),
        ...(scans && { scans }),
        decodeMs: decode,
        stages,
        totalMs: performance.now() - begin,
        backend: "rest",
      };
    },
    dispose() {},
  };
}

/** @throws ParameterError naming the option */
function check({ topK = TOP_K, observe }: WireClassifyOptions, { stages }: ImageModelInfo) {
  if (!Number.isInteger(topK) || topK < 1)
    throw new ParameterError(`topK is ${topK}: it must be a whole number ≥ 1`, "topK");
  if (observe !== undefined && !(Number.isInteger(observe) && observe >= 1 && observe <= stages))
    throw new ParameterError(`observe is ${observe}: the model has stages 1 to ${stages}`, "observe");
  return { topK, observe };
}
