/** How an image becomes what an image model is fed. */
import { PackageError } from "./errors.ts";

/**
 * Decoded RGB is resized with antialiasing so that its short side has `shortSide` pixels, cut to `height` × `width` from the middle,
 * divided by 255, and normalized a channel at a time: (value − mean) / std.
 */
export interface ImageInputSpec {
  readonly height: number;
  readonly width: number;
  readonly shortSide: number;
  readonly filter: "bicubic" | "bilinear";
  /** a number a channel, red, green, blue. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** names of the logits, in their order; absent where none are known. */
  readonly classes?: readonly string[];
}

/** What ImageNet classifiers were trained with, VMamba's among them: the short side to 256, 224 × 224 of the middle. */
export const IMAGENET_INPUT: ImageInputSpec = {
  height: 224,
  width: 224,
  shortSide: 256,
  filter: "bicubic",
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

const MOST_SIDE = 4096;
const MOST_CLASSES = 65_536;
const FIELDS = ["height", "width", "shortSide", "filter", "mean", "std", "classes"];

/** Checks a decoded value field by field. @throws PackageError naming the field and what it must be */
export function validateImageInput(value: unknown, where: string): ImageInputSpec {
  const wrong = (field: string, seen: unknown, expected: string): PackageError =>
    new PackageError(`${where}: image.${field} is ${JSON.stringify(seen)?.slice(0, 80)}, must be ${expected}`);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new PackageError(`${where}: image must be a map`);
  const v = value as Record<string, unknown>;
  for (const field of Object.keys(v))
    if (!FIELDS.includes(field)) throw wrong(field, v[field], "absent: it is unknown");
  const side = (field: string): number => {
    const seen = v[field];
    if (typeof seen !== "number" || !Number.isInteger(seen) || seen < 1 || seen > MOST_SIDE)
      throw wrong(field, seen, `an integer in 1..${MOST_SIDE}`);
    return seen;
  };
  const [height, width, shortSide] = [side("height"), side("width"), side("shortSide")];
  if (shortSide < Math.max(height, width)) throw wrong("shortSide", shortSide, `at least ${Math.max(height, width)}`);
  const { filter, classes } = v;
  if (filter !== "bicubic" && filter !== "bilinear") throw wrong("filter", filter, "bicubic or bilinear");
  const numbers = (field: "mean" | "std", least: number): number[] => {
    const seen = v[field];
    const fine =
      Array.isArray(seen) && seen.length === 3 && seen.every((n) => typeof n === "number" && n > least && n < 1e6);
    if (!fine) throw wrong(field, seen, `3 numbers above ${least}`);
    return seen as number[];
  };
  const spec = { height, width, shortSide, filter, mean: numbers("mean", -1e6), std: numbers("std", 0) } as const;
  if (classes === undefined) return spec;
  const named =
    Array.isArray(classes) &&
    classes.length > 0 &&
    classes.length <= MOST_CLASSES &&
    classes.every((name) => typeof name === "string" && name.length > 0 && name.length <= 256);
  if (!named) throw wrong("classes", classes, "a list of names of 1 to 256 characters");
  return { ...spec, classes: classes as string[] };
}
