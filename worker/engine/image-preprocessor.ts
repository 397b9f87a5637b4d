import { IMAGENET_INPUT, type ImageInputSpec, validateImageInput } from "../../weights/image-input.ts";
import { ModelError } from "./errors.ts";

type Settings = Readonly<Record<string, unknown>>;

/** PIL's numbers of the filters. */
const FILTERS = new Map<unknown, ImageInputSpec["filter"]>([
  [2, "bilinear"],
  [3, "bicubic"],
]);

/**
 * What images a checkpoint wants, from Hugging Face's preprocessor_config.json (size.shortest_edge, crop_size, resample, image_mean,
 * image_std) and the class names in config.json (id2label); ImageNet's usual ones where there is none.
 * @throws ModelError or PackageError on settings that are not supported
 */
export function readImageInput(preprocessor: unknown, config: unknown, outputs: number): ImageInputSpec {
  const p = settings(preprocessor);
  const classes = readClasses(settings(config).id2label, outputs);
  if (p.do_resize === false || p.do_center_crop === false || p.do_normalize === false) {
    throw new ModelError(
      "preprocessor_config.json turns do_resize, do_center_crop or do_normalize off; images here are resized, cropped and normalized",
    );
  }
  if (p.rescale_factor !== undefined && Math.abs(Number(p.rescale_factor) * 255 - 1) > 1e-6) {
    throw new ModelError(`preprocessor_config.json says rescale_factor = ${p.rescale_factor}; only 1/255 is supported`);
  }
  const size = settings(p.size);
  const crop = typeof p.crop_size === "number" ? { height: p.crop_size, width: p.crop_size } : settings(p.crop_size);
  const filter = p.resample === undefined ? IMAGENET_INPUT.filter : FILTERS.get(p.resample);
  if (filter === undefined) {
    throw new ModelError(
      `preprocessor_config.json says resample = ${JSON.stringify(p.resample)}; 2 (bilinear) and 3 (bicubic) are supported`,
    );
  }
  return validateImageInput(
    {
      height: crop.height ?? IMAGENET_INPUT.height,
      width: crop.width ?? IMAGENET_INPUT.width,
      shortSide: (typeof p.size === "number" ? p.size : size.shortest_edge) ?? IMAGENET_INPUT.shortSide,
      filter,
      mean: p.image_mean ?? IMAGENET_INPUT.mean,
      std: p.image_std ?? IMAGENET_INPUT.std,
      ...(classes && { classes }),
    },
    "preprocessor_config.json",
  );
}

function settings(value: unknown): Settings {
  return typeof value === "object" && value !== null ? (value as Settings) : {};
}

function readClasses(value: unknown, outputs: number): string[] | undefined {
  if (value === undefined) return undefined;
  const names = settings(value);
  const classes = Array.from({ length: outputs }, (_, i) => names[String(i)]);
  const missing = classes.findIndex((name) => typeof name !== "string");
  if (missing >= 0 || Object.keys(names).length !== outputs) {
    throw new ModelError(
      `config.json's id2label names ${Object.keys(names).length} classes${missing >= 0 ? `, none for ${missing}` : ""}; the head gives ${outputs}`,
    );
  }
  return classes as string[];
}
