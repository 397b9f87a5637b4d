import { ImageError } from "../../engine/errors.ts";
import { readImageHeader } from "../../engine/image/image-header.ts";
import { type Raster, rasterOf } from "../../engine/image/raster.ts";
import { codecs, type Decoded } from "./codecs.ts";

/** Most bytes of a picture. */
export const IMAGE_BYTES = 8 * 1024 * 1024;
/** Most pixels: while they are decoded they take 8 to 16 bytes each, and all of an isolate has 128 MB. */
export const IMAGE_PIXELS = 4 * 1024 * 1024;

/**
 * A JPEG, PNG or WebP as pixels the right way up. Its size is known from its first bytes, before anything is decoded.
 * @throws ImageError
 */
export async function decodeImage(bytes: Uint8Array): Promise<Raster> {
  const { format, width, height, orientation } = readImageHeader(bytes);
  if (width * height > IMAGE_PIXELS) {
    throw new ImageError(
      "too-large",
      `the picture is ${width}×${height}, ${width * height} pixels, at most ${IMAGE_PIXELS} are read: make it smaller first`,
    );
  }
  let decoded: Decoded | null;
  try {
    decoded = await codecs[format](bytes);
  } catch {
    // A trap or an exception of the decoder's: its text is about its own insides.
    decoded = null;
  }
  if (decoded === null || decoded.width !== width || decoded.height !== height) {
    throw new ImageError(
      "damaged",
      `the ${format} of ${width}×${height} pixels cannot be decoded: the file is damaged or cut off`,
    );
  }
  return rasterOf(decoded.data, width, height, orientation);
}
