import { type Classification, type ClassifyOptions, classify, type PixelTensor } from "../../engine/images.ts";
import type { Model } from "../../engine/model.ts";
import type { AdvanceOptions } from "../../engine/sequence.ts";
import type { Limits } from "../env.ts";
import { badValue } from "../http/api-error.ts";
import { checkImageBudget } from "../models/request-budget.ts";
import type { PixelRequest } from "../schemas/infer-pixels.ts";

/** Classifies pixels once all weights are there. @throws ApiError 400 on logits that are not finite */
export async function classifyLoaded(
  model: Model,
  pixels: PixelTensor,
  { signal, more, observe }: AdvanceOptions & Pick<ClassifyOptions, "observe">,
): Promise<Classification> {
  while (!model.ready) await more?.();
  const found = await classify(model, pixels, { signal, observe });
  if (!found.logits.every(Number.isFinite)) {
    throw badValue("inputs[0].data", "the model's logits are not finite: normalise the pixels as its training did");
  }
  return found;
}

/** @throws ApiError 400 on a tensor that this model cannot be fed */
export async function inferPixels(
  model: Model,
  limits: Limits,
  { inputs: [{ shape, data }] }: PixelRequest,
  options: AdvanceOptions,
): Promise<{ images: number; classes: number; data: number[] }> {
  const [n, channels, height, width] = shape as [number, number, number, number];
  const runner = model.executable.images;
  const at = "inputs[0].shape";
  const bad = (what: string) => badValue(at, `${at} is ${JSON.stringify(shape)}, ${what}`);
  if (channels !== 3) throw bad("an image has 3 channels: it must be [n, 3, height, width]");
  if (runner !== undefined) {
    const { maxImages, maxImage } = runner;
    if (n > maxImages) throw bad(`a request may have ${maxImages} images: send fewer at a time`);
    if (height > maxImage.height || width > maxImage.width) {
      throw bad(`${model.manifest.id} takes images of up to ${maxImage.height}×${maxImage.width}: make them smaller`);
    }
  }
  if (data.length !== n * 3 * height * width) {
    throw bad(`which takes ${n * 3 * height * width} numbers, the data are ${data.length}: they must agree`);
  }
  checkImageBudget(model, limits, n, { height, width }, at);
  const values = Float32Array.from(data);
  const wrong = values.findIndex((v) => !Number.isFinite(v));
  if (wrong >= 0) {
    throw badValue("inputs[0].data", `number ${wrong} of inputs[0].data is ${data[wrong]}: it must be within f32`);
  }
  const { logits, classes } = await classifyLoaded(model, { shape: [n, 3, height, width], data: values }, options);
  return { images: n, classes, data: [...logits] };
}
