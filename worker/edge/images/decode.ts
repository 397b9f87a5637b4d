import jpeg from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm";
import png from "@jsquash/png/codec/pkg/squoosh_png_bg.wasm";
import webp from "@jsquash/webp/codec/dec/webp_dec.wasm";
import { createImageDecoder } from "../../engine/image/decode.ts";

/** Most bytes of a picture. */
export const IMAGE_BYTES = 8 * 1024 * 1024;

/** With the decoders that the Worker's bundle holds. */
export const decodeImage = createImageDecoder({ jpeg, png, webp });
