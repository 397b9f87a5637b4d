import { ImageError } from "../../../engine/errors.ts";
import type { Size } from "../../../engine/image/prepare.ts";
import { type Raster, rasterOf } from "../../../engine/image/raster.ts";

/** Larger pictures are made smaller while they are decoded: RGBA of this takes 64 MB. */
const MOST_PIXELS = 16 * 1024 * 1024;
/** What the edge reads without complaint, and more than any model sees. */
const EDGE_SIDE = 1024;
const EDGE_TYPES = ["image/jpeg", "image/png", "image/webp"];

export interface DecodedPicture {
  /** pixels, the right way up; perhaps smaller than the picture. */
  readonly raster: Raster;
  /** of the picture itself. */
  readonly size: Size;
}

/** Whatever this browser can show, the right way up, its colours as they are stored. @throws ImageError */
export async function decodePicture(picture: Blob): Promise<DecodedPicture> {
  const bitmap = await open(picture);
  const { width, height } = bitmap;
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  const context = draw(bitmap, scale);
  const drawn = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  return { raster: rasterOf(drawn.data, drawn.width, drawn.height), size: { width, height } };
}

/** The picture as the edge takes it: JPEG, PNG or WebP, made smaller where it is large. @throws ImageError */
export async function pictureForEdge(picture: Blob): Promise<{ readonly body: Blob; readonly size: Size }> {
  const bitmap = await open(picture);
  const size = { width: bitmap.width, height: bitmap.height };
  const scale = Math.min(1, EDGE_SIDE / Math.max(size.width, size.height));
  if (scale === 1 && EDGE_TYPES.includes(picture.type)) {
    bitmap.close();
    return { body: picture, size };
  }
  return { body: await draw(bitmap, scale).canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 }), size };
}

async function open(picture: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(picture, {
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new ImageError(
      "damaged",
      `this browser cannot decode the picture (${picture.size} bytes, type "${picture.type}"): choose a JPEG, PNG or WebP`,
    );
  }
}

/** Lets go of the bitmap. */
function draw(bitmap: ImageBitmap, scale: number): OffscreenCanvasRenderingContext2D {
  const side = (length: number): number => Math.max(1, Math.round(scale * length));
  const context = new OffscreenCanvas(side(bitmap.width), side(bitmap.height)).getContext("2d", {
    willReadFrequently: true,
  })!;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, context.canvas.width, context.canvas.height);
  bitmap.close();
  return context;
}
