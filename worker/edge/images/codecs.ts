import jpegFactory from "@jsquash/jpeg/codec/dec/mozjpeg_dec.js";
import jpegModule from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm";
import pngModule from "@jsquash/png/codec/pkg/squoosh_png_bg.wasm";
import webpFactory from "@jsquash/webp/codec/dec/webp_dec.js";
import webpModule from "@jsquash/webp/codec/dec/webp_dec.wasm";
import type { ImageFormat } from "../../engine/image/image-header.ts";

/** RGBA rows. */
export interface Decoded {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

interface JpegDecoder {
  decode(bytes: Uint8Array, orient: boolean): Decoded | null;
}

interface WebpDecoder {
  decode(bytes: Uint8Array): Decoded | null;
}

/*
 * Every picture gets an instance of its own: WebAssembly's memory never shrinks, and what a damaged file left behind in it must neither
 * stay nor reach the next picture. The compiled modules are shared, so an instance takes about a millisecond.
 */
export const codecs: Readonly<Record<ImageFormat, (bytes: Uint8Array) => Promise<Decoded | null>>> = {
  async jpeg(bytes) {
    // false: orientation is ours to apply, for all formats alike.
    return (await start<JpegDecoder>(jpegFactory, jpegModule)).decode(bytes, false);
  },
  async webp(bytes) {
    return (await start<WebpDecoder>(webpFactory, webpModule)).decode(bytes);
  },
  async png(bytes) {
    return decodePng(bytes);
  },
};

/** Emscripten's loader, given the module: it would fetch and compile one. */
function start<T>(factory: (options: object) => Promise<T>, module: WebAssembly.Module): Promise<T> {
  return factory({
    noInitialRun: true,
    // Its own lines would go to the log for every damaged file; the decoder's answer says as much.
    print: () => {},
    printErr: () => {},
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
      const instance = new WebAssembly.Instance(module, imports);
      done(instance);
      return instance.exports;
    },
  });
}

interface PngExports {
  readonly memory: WebAssembly.Memory;
  decode(address: number, length: number): unknown;
  __wbindgen_malloc(bytes: number, align: number): number;
}

/** The package's own loader keeps one instance for ever. What the decoder hands out goes through the constructor of ImageData. */
function decodePng(bytes: Uint8Array): Decoded | null {
  let found: Decoded | null = null;
  const wbg: Record<string, (...args: number[]) => number> = {};
  for (const { name } of WebAssembly.Module.imports(pngModule)) {
    wbg[name] = name.startsWith("__wbg_newwithownedu8clampedarray")
      ? (address, length, width, height) => {
          found = {
            data: new Uint8ClampedArray(exports.memory.buffer, address, length).slice(),
            width: width!,
            height: height!,
          };
          return 0;
        }
      : () => {
          throw new Error(`the PNG decoder called ${name}`);
        };
  }
  const exports = new WebAssembly.Instance(pngModule, { wbg }).exports as unknown as PngExports;
  const address = exports.__wbindgen_malloc(bytes.length, 1);
  new Uint8Array(exports.memory.buffer, address, bytes.length).set(bytes);
  exports.decode(address, bytes.length);
  return found;
}
