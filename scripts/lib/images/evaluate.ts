import type { ImageInputSpec } from "../../../weights/image-input.ts";
import { ImageError } from "../../../worker/engine/errors.ts";
import type { DecodeImage } from "../../../worker/engine/image/decode.ts";
import { prepare } from "../../../worker/engine/image/prepare.ts";
import { classify } from "../../../worker/engine/images.ts";
import type { Model } from "../../../worker/engine/model.ts";
import { UsageError } from "../cli.ts";
import type { Photographs } from "./photographs.ts";
import { type Predictions, predictionsOf } from "./predictions.ts";

/** Pictures of a pass. */
const BATCH = 8;

export interface Evaluation extends Predictions {
  /** in the model's passes alone. */
  readonly seconds: number;
}

/**
 * What each model says of each photograph, in batches of 8, the models in turns on the same pixels.
 * @param onProgress photographs done, and all
 * @throws UsageError when a model is not fed these pictures
 */
export async function evaluate(
  models: readonly Model[],
  photographs: Photographs,
  decode: DecodeImage,
  onProgress: (done: number, total: number) => void,
): Promise<{ readonly evaluations: Evaluation[]; readonly preparingSeconds: number }> {
  const spec = commonInput(models, photographs);
  const total = photographs.labels.length;
  const parts = models.map(() => ({ logits: [] as number[], classes: 0, seconds: 0 }));
  let preparing = 0;
  for (let first = 0; first < total; first += BATCH) {
    const start = performance.now();
    const pixels = await batch(photographs, first, Math.min(BATCH, total - first), spec, decode);
    preparing += performance.now() - start;
    for (const [m, model] of models.entries()) {
      const begin = performance.now();
      const { logits, classes } = await classify(model, pixels);
      const part = parts[m]!;
      part.seconds += (performance.now() - begin) / 1000;
      part.classes = classes;
      part.logits.push(...logits);
    }
    onProgress(Math.min(total, first + BATCH), total);
  }
  const evaluations = parts.map(({ logits, classes, seconds }) => ({
    ...predictionsOf(Float32Array.from(logits), classes),
    seconds,
  }));
  return { evaluations, preparingSeconds: preparing / 1000 };
}

async function batch(
  photographs: Photographs,
  first: number,
  count: number,
  spec: ImageInputSpec,
  decode: DecodeImage,
) {
  const { height, width } = spec;
  const length = 3 * height * width;
  const data = new Float32Array(count * length);
  for (let i = 0; i < count; i++) {
    try {
      data.set(prepare(await decode(photographs.bytes(first + i)), spec), i * length);
    } catch (error) {
      if (error instanceof ImageError)
        throw new UsageError(`picture ${first + i} of ${photographs.name}: ${error.message}`);
      throw error;
    }
  }
  return { shape: [count, 3, height, width] as const, data };
}

function commonInput(models: readonly Model[], { classes, labels, name }: Photographs): ImageInputSpec {
  const specs = models.map(({ manifest }) => {
    if (manifest.image === undefined) throw new UsageError(`${manifest.id} is not fed images`);
    return manifest.image;
  });
  const [first] = specs;
  const other = specs.findIndex((spec) => JSON.stringify(spec) !== JSON.stringify(first));
  if (other > 0) {
    const ids = [models[0]!, models[other]!].map(({ manifest }) => manifest.id);
    throw new UsageError(`${ids.join(" and ")} are fed different images: evaluate them one at a time`);
  }
  const named = first!.classes;
  if (classes !== undefined && named !== undefined && classes.join() !== named.join()) {
    throw new UsageError(`the classes of ${name} are ${classes.join(", ")}; the model's are ${named.join(", ")}`);
  }
  const outputs = Math.min(...models.map((model) => model.outputs));
  const beyond = labels.findIndex((label) => label >= outputs);
  if (beyond >= 0)
    throw new UsageError(`picture ${beyond} of ${name} has label ${labels[beyond]}, the model ${outputs} classes`);
  return first!;
}
