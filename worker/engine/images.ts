import type { ImageInput, ScanResponses } from "../../kernels/backend.ts";
import { type Block, multiplyAdds } from "../../kernels/blocks.ts";
import { type ImageSize, imageSizes } from "../../kernels/image-blocks.ts";
import { ModelError } from "./errors.ts";
import { nextMacrotask } from "./macrotask.ts";
import type { Model } from "./model.ts";

/** Blocks of one resolution: the stem, then "stage 1" …, each with the downsampling in front of it, and last the head. */
export interface ImageStage {
  readonly name: string;
  /** blocks begin … end − 1. */
  readonly begin: number;
  readonly end: number;
}

export interface StageTiming {
  readonly stage: string;
  /** wall clock, in production only across I/O; between blocks others may run. */
  readonly milliseconds: number;
}

export interface ClassifyOptions {
  /** Stops between blocks. */
  readonly signal?: AbortSignal | undefined;
  /** number of a stage, from 1, whose last scans' responses are wanted. */
  readonly observe?: number | undefined;
}

export interface Classification {
  /** (n, classes), not normalized. */
  readonly logits: Float32Array;
  readonly classes: number;
  readonly stages: readonly StageTiming[];
  /** one an image, where `observe` asked for them: (4, height, width) of the stage. */
  readonly responses: readonly ScanResponses[];
}

/** Pixels of images of one size, as the model's training normalized them. */
export interface PixelTensor {
  /** [n, channels, height, width]. */
  readonly shape: readonly [number, number, number, number];
  /** f32, row-major. */
  readonly data: Float32Array;
}

/**
 * Sees a batch of images in one pass, giving way between blocks.
 * @throws ModelError when the model is not fed images, KernelError on pixels that it cannot take, the signal's reason when aborted
 *
 * @example
 * const { logits } = await classify(model, { shape: [1, 3, 224, 224], data });
 */
export async function classify(
  model: Model,
  { shape, data }: PixelTensor,
  options: ClassifyOptions = {},
): Promise<Classification> {
  const [n, channels, height, width] = shape;
  const length = channels * height * width;
  if (data.length !== n * length) {
    throw new ModelError(`pixels of shape (${shape.join(", ")}) are ${n * length} values, got ${data.length}`);
  }
  const images = Array.from(
    { length: n },
    (_, i): ImageInput => ({
      height,
      width,
      pixels: data.subarray(i * length, (i + 1) * length),
    }),
  );
  return await classifyImages(model, images, options);
}

/** The same for images that may differ in size. */
export async function classifyImages(
  model: Model,
  images: readonly ImageInput[],
  { signal, observe }: ClassifyOptions = {},
): Promise<Classification> {
  const runner = model.executable.images;
  if (runner === undefined) throw new ModelError(`package ${model.manifest.id} is not fed images`);
  const stages = imageStages(model.blocks);
  const block = observe === undefined ? undefined : observedBlock(model.blocks, stages, observe);
  return await model.imageTurns.take(async () => {
    signal?.throwIfAborted();
    const pass = runner.begin(images, block);
    const timings: StageTiming[] = [];
    for (const { name, end } of stages) {
      const start = performance.now();
      while (pass.block < end) {
        pass.advance(pass.block + 1);
        await nextMacrotask();
        signal?.throwIfAborted();
      }
      timings.push({ stage: name, milliseconds: performance.now() - start });
    }
    const outputs = await pass.read();
    const classes = outputs[0]!.logits.length;
    const logits = new Float32Array(outputs.length * classes);
    outputs.forEach((output, i) => {
      logits.set(output.logits, i * classes);
    });
    return {
      logits,
      classes,
      stages: timings,
      responses: outputs.flatMap(({ responses }) => (responses === undefined ? [] : [responses])),
    };
  });
}

/** The classes with the largest logits and their shares of the softmax. */
export function bestClasses(
  logits: Float32Array,
  count: number,
  names: readonly string[] | undefined,
): { index: number; label: string; score: number }[] {
  const largest = Math.max(...logits);
  const parts = [...logits].map((logit) => Math.exp(logit - largest));
  const total = parts.reduce((sum, part) => sum + part, 0);
  return [...logits.keys()]
    .sort((a, b) => logits[b]! - logits[a]!)
    .slice(0, count)
    .map((index) => ({ index, label: names?.[index] ?? String(index), score: parts[index]! / total }));
}

/** Multiply-adds of one image of a size. */
export function imageCost(blocks: readonly Block[], image: ImageSize): number {
  const sizes = imageSizes(blocks, image);
  return blocks.reduce((sum, block, i) => {
    const { height, width } = sizes[i + 1]!;
    return sum + multiplyAdds(block) * height * width;
  }, 0);
}

export function imageStages(blocks: readonly Block[]): ImageStage[] {
  const firstScan = blocks.findIndex((b) => b.kind === "ss2d");
  const head = blocks.findIndex((b, i) => i > firstScan && (b.kind === "norm" || b.kind === "pool"));
  const begins = blocks.flatMap((b, i) =>
    i > firstScan && i < head && (b.kind === "conv2d" || b.kind === "patch-merge") ? [i] : [],
  );
  const bounds = [firstScan, ...begins, head];
  return [
    { name: "stem", begin: 0, end: firstScan },
    ...bounds.slice(0, -1).map((begin, i) => ({ name: `stage ${i + 1}`, begin, end: bounds[i + 1]! })),
    { name: "head", begin: head, end: blocks.length },
  ];
}

function observedBlock(blocks: readonly Block[], stages: readonly ImageStage[], observe: number): number {
  const stage = stages.find(({ name }) => name === `stage ${observe}`);
  if (stage === undefined) {
    throw new ModelError(`stage ${observe} cannot be observed: the model has stages 1 to ${stages.length - 2}`);
  }
  return blocks.findLastIndex((b, i) => i < stage.end && b.kind === "ss2d");
}

/** Lets one pass at a time through: a second would end the first. Each waits with timers of its own request. */
export class Turns {
  #busy = false;

  async take<T>(work: () => Promise<T>): Promise<T> {
    while (this.#busy) await nextMacrotask();
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }
}
