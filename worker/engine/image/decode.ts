import { ImageError } from "../errors.ts";
import { type CodecModules, createCodecs, type Decoded } from "./codecs.ts";
import { readImageHeader } from "./image-header.ts";
import { type Raster, rasterOf } from "./raster.ts";

/** Bytes that a pixel takes at most while it is decoded, in the decoder and as RGBA behind it: test/engine/image-memory.test.ts. */
export const DECODING_BYTES = 15;
/** Most pixels: all of an isolate has 128 MB. */
export const IMAGE_PIXELS = 4 * 1024 * 1024;

/**
 * A JPEG, PNG or WebP as pixels the right way up. Its size is known from its first bytes, before anything is decoded.
 * @throws ImageError
 */
export type DecodeImage = (bytes: Uint8Array) => Promise<Raster>;

export function createImageDecoder(modules: CodecModules): DecodeImage {
  const codecs = createCodecs(modules);
  return async function decodeImage(bytes) {
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
  };
}
