import jpegFactory from "@jsquash/jpeg/codec/dec/mozjpeg_dec.js";
import webpFactory from "@jsquash/webp/codec/dec/webp_dec.js";
import type { ImageFormat } from "./image-header.ts";

/** RGBA rows. */
export interface Decoded {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** The compiled decoders of @jsquash: how a module is had differs from runtime to runtime. */
export type CodecModules = Readonly<Record<ImageFormat, WebAssembly.Module>>;
export type Codecs = Readonly<Record<ImageFormat, (bytes: Uint8Array) => Promise<Decoded | null>>>;

interface JpegDecoder {
  decode(bytes: Uint8Array, orient: boolean): Decoded | null;
}

interface WebpDecoder {
  decode(bytes: Uint8Array): Decoded | null;
}

/**
 * What libjpeg says (jerror.h) before it fills missing parts of a picture with grey: JWRN_JPEG_EOF, JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE,
 * JWRN_MUST_RESYNC. It prints a picture's first warning only.
 */
const LOST_DATA = /^Premature end of JPEG file|^Corrupt JPEG data: (premature end|bad Huffman|found marker)/;

/*
 * Every picture gets an instance of its own: WebAssembly's memory never shrinks, and what a damaged file left behind in it must neither
 * stay nor reach the next picture. The compiled modules are shared, so an instance takes about a millisecond.
 */
export function createCodecs(modules: CodecModules): Codecs {
  return {
    async jpeg(bytes) {
      let lost = false;
      const decoder = await start<JpegDecoder>(jpegFactory, modules.jpeg, (line) => {
        lost ||= LOST_DATA.test(line);
      });
      // false: orientation is ours to apply, for all formats alike.
      const decoded = decoder.decode(bytes, false);
      return lost ? null : decoded;
    },
    async webp(bytes) {
      return (await start<WebpDecoder>(webpFactory, modules.webp)).decode(bytes);
    },
    async png(bytes) {
      return decodePng(modules.png, bytes);
    },
  };
}

/** Emscripten's loader, given the module: it would fetch and compile one. @param complain hears the decoder's warnings */
function start<T>(
  factory: (options: object) => Promise<T>,
  module: WebAssembly.Module,
  complain: (line: string) => void = () => {},
): Promise<T> {
  return factory({
    noInitialRun: true,
    // Its own lines would go to the log for every damaged file.
    print: () => {},
    printErr: complain,
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
function decodePng(module: WebAssembly.Module, bytes: Uint8Array): Decoded | null {
  let found: Decoded | null = null;
  const wbg: Record<string, (...args: number[]) => number> = {};
  for (const { name } of WebAssembly.Module.imports(module)) {
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
  const exports = new WebAssembly.Instance(module, { wbg }).exports as unknown as PngExports;
  const address = exports.__wbindgen_malloc(bytes.length, 1);
  new Uint8Array(exports.memory.buffer, address, bytes.length).set(bytes);
  exports.decode(address, bytes.length);
  return found;
}
