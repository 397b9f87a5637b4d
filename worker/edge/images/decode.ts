import jpeg from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm";
import png from "@jsquash/png/codec/pkg/squoosh_png_bg.wasm";
import webp from "@jsquash/webp/codec/dec/webp_dec.wasm";
import { createImageDecoder, DECODING_BYTES, IMAGE_PIXELS } from "../../engine/image/decode.ts";
import { readImageHeader } from "../../engine/image/image-header.ts";

/** Most bytes of a picture. */
export const IMAGE_BYTES = 8 * 1024 * 1024;

/** What an isolate has for requests in flight beside its models: of the 24 MB, 8 for the script. */
const FREE_BYTES = 16e6;

/** Bytes beyond those that decoding a picture takes, known from its header; none for one that is refused. @throws ImageError */
export function decodingNeed(bytes: Uint8Array): number {
  const { width, height } = readImageHeader(bytes);
  const pixels = width * height;
  return pixels > IMAGE_PIXELS ? 0 : Math.max(0, bytes.length + DECODING_BYTES * pixels - FREE_BYTES);
}

/** With the decoders that the Worker's bundle holds. */
export const decodeImage = createImageDecoder({ jpeg, png, webp });
