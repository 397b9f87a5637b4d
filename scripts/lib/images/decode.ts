import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createImageDecoder, type DecodeImage } from "../../../worker/engine/image/decode.ts";

const FILES = {
  jpeg: "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm",
  png: "@jsquash/png/codec/pkg/squoosh_png_bg.wasm",
  webp: "@jsquash/webp/codec/dec/webp_dec.wasm",
};

/** The edge's decoders, in Node. */
export function nodeImageDecoder(): DecodeImage {
  const { resolve } = createRequire(import.meta.url);
  const compile = (file: string): WebAssembly.Module => new WebAssembly.Module(readFileSync(resolve(file)));
  return createImageDecoder({ jpeg: compile(FILES.jpeg), png: compile(FILES.png), webp: compile(FILES.webp) });
}
