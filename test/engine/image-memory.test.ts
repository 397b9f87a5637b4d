import { readFileSync } from "node:fs";
import { deflateSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { nodeImageDecoder } from "../../scripts/lib/images/decode.ts";
import { DECODING_BYTES, IMAGE_PIXELS } from "../../worker/engine/image/decode.ts";

/* What decoding takes at most, of the kinds that take most, at the most pixels that are read. */

const { Instance } = WebAssembly;
const decoders: WebAssembly.Instance[] = [];
beforeEach(() => {
  decoders.length = 0;
  WebAssembly.Instance = class extends Instance {
    constructor(module: WebAssembly.Module, imports?: WebAssembly.Imports) {
      super(module, imports);
      decoders.push(this);
    }
  };
});
afterEach(() => {
  WebAssembly.Instance = Instance;
});

const SIDE = Math.sqrt(IMAGE_PIXELS);

function png16(): Uint8Array {
  const chunk = (name: string, data: Uint8Array): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, Buffer.from(name), data, Buffer.alloc(4)]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(SIDE, 0);
  header.writeUInt32BE(SIDE, 4);
  header.set([16, 2, 0, 0, 0], 8);
  const rows = Buffer.alloc(SIDE * (1 + 6 * SIDE));
  const parts = [chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND", new Uint8Array())];
  return Uint8Array.from(Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...parts]));
}

const golden = (name: string): Uint8Array => Uint8Array.from(readFileSync(`test/golden/images/${name}`));

test.each([
  ["a progressive JPEG without subsampling", () => golden("largest-progressive.jpg")],
  ["a lossless WebP", () => golden("largest-lossless.webp")],
  ["a PNG of 16 bits", png16],
])("%s of the most pixels", async (_, make) => {
  const bytes = make();
  const { data, width, height } = await nodeImageDecoder()(bytes);
  expect([width, height]).toEqual([SIDE, SIDE]);
  expect(decoders).toHaveLength(1);
  const memory = Object.values(decoders[0]!.exports).find((e) => e instanceof WebAssembly.Memory) as WebAssembly.Memory;
  const each = (memory.buffer.byteLength + data.byteLength - bytes.length) / IMAGE_PIXELS;
  expect(each).toBeGreaterThan(4);
  expect(each).toBeLessThanOrEqual(DECODING_BYTES);
});
