import { z } from "zod";
import { classify } from "../../worker/engine/images.ts";
import type { Model } from "../../worker/engine/model.ts";
import { UsageError } from "./cli.ts";

/** A golden.json of image models: pixels (3, height, width), already normalized. */
export const ImagesInput = z.looseObject({
  kind: z.literal("image-classification"),
  cases: z.array(
    z.looseObject({
      shape: z.tuple([z.number().int().min(1), z.number().int().min(1)]),
      pixels_chw: z.array(z.number()).min(1),
    }),
  ),
});

export async function predictImages(
  model: Model,
  { cases }: z.output<typeof ImagesInput>,
): Promise<{ shape: number[]; pixels_chw: number[]; logits: number[] }[]> {
  const results = [];
  for (const [c, { shape, pixels_chw }] of cases.entries()) {
    const [height, width] = shape;
    const channels = pixels_chw.length / (height * width);
    if (!Number.isInteger(channels)) {
      throw new UsageError(
        `cases[${c}].pixels_chw has ${pixels_chw.length} values: no multiple of ${height} · ${width}`,
      );
    }
    const data = Float32Array.from(pixels_chw);
    const { logits } = await classify(model, { shape: [1, channels, height, width], data });
    results.push({ shape, pixels_chw, logits: [...logits] });
  }
  return results;
}
