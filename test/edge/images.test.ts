import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { decodeImage } from "../../worker/edge/images/decode.ts";
import { resizeAndCrop } from "../../worker/engine/image/prepare.ts";
import vectors from "../golden/images/vectors.json";

async function file(name: string): Promise<Uint8Array> {
  const response = await env.ASSETS.fetch(`http://assets/images/${name}`);
  expect(response.status).toBe(200);
  return response.bytes();
}

describe("pictures of every kind, resized and cropped as Pillow does", async () => {
  const wanted = await file("vectors.bin");
  let at = 0;
  for (const { file: name, resize, filter, crop } of vectors.cases) {
    const bytes = wanted.subarray(at, at + crop * crop * 3);
    at += bytes.length;
    test(`${name} to ${resize} ${filter}, ${crop} of it`, async () => {
      const got = resizeAndCrop(await decodeImage(await file(name)), {
        shortSide: resize,
        height: crop,
        width: crop,
        filter: filter as "bicubic" | "bilinear",
      });
      const off = got.map((value, i) => Math.abs(value - bytes[i]!));
      expect(Math.max(...off)).toBeLessThanOrEqual(3);
      expect(off.filter((d) => d > 1).length).toBeLessThanOrEqual(off.length / 1000);
    });
  }
});

/** Bytes of a picture with some of them replaced. */
const changed = (bytes: Uint8Array, at: number, values: readonly number[]): Uint8Array => {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
};
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const marker = (bytes: Uint8Array, byte: number): number =>
  bytes.findIndex((b, i) => b === 0xff && bytes[i + 1] === byte);

describe("pictures that are refused", () => {
  const kinds: [name: string, make: () => Promise<Uint8Array>, message: RegExp][] = [
    ["nothing", async () => new Uint8Array(), /is empty/],
    ["a text", async () => text("hello"), /is a text, by the look of it: send a JPEG/],
    ["bytes of no kind", async () => Uint8Array.of(0x68, 0x65, 0, 1), /begin with 68 65 00 01/],
    ["a text of another encoding", async () => Uint8Array.of(0x68, 0xe9, 0x6c, 0x61), /begin with 68 e9 6c 61/],
    ["a zip", async () => text("PK\x03\x04"), /a zip archive: send a JPEG/],
    ["a GIF", async () => text("GIF89a"), /a GIF/],
    ["an animated GIF", () => file("animated.gif"), /a GIF: send a JPEG, a PNG or a WebP/],
    ["an animated WebP with pictures", () => file("animated.webp"), /the WebP is animated: send one picture/],
    ["a CMYK JPEG of Pillow's", () => file("cmyk.jpg"), /CMYK colours, grey and RGB can be read/],
    ["an AVIF", async () => text("\0\0\0\x1cftypavif"), /a avif file/],
    ["a JPEG of two bytes", async () => (await file("420.jpg")).subarray(0, 2), /ends after 2 bytes/],
    ["a PNG cut off in its header", async () => (await file("rgb.png")).subarray(0, 20), /ends after 20 bytes/],
    ["a PNG cut off in its pixels", async () => (await file("rgb.png")).subarray(0, 3000), /damaged or cut off/],
    ["a WebP cut off in its pixels", async () => (await file("lossless.webp")).subarray(0, 900), /damaged or cut off/],
    [
      "a PNG that says 20,000 × 20,000",
      async () => changed(await file("rgb.png"), 16, [0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]),
      /20000×20000, 400000000 pixels, at most 4194304/,
    ],
    [
      "a JPEG that says 60,000 × 60,000",
      async () => {
        const bytes = await file("420.jpg");
        return changed(bytes, marker(bytes, 0xc0) + 5, [0xea, 0x60, 0xea, 0x60]);
      },
      /60000×60000/,
    ],
    [
      "a CMYK JPEG",
      async () => {
        const bytes = await file("420.jpg");
        return changed(bytes, marker(bytes, 0xc0) + 9, [4]);
      },
      /CMYK/,
    ],
    [
      "a JPEG of 12 bits",
      async () => {
        const bytes = await file("420.jpg");
        return changed(bytes, marker(bytes, 0xc0) + 4, [12]);
      },
      /12 bits/,
    ],
    [
      "an animated WebP",
      async () => {
        const vp8x = [...text("VP8X"), 10, 0, 0, 0, 2, 0, 0, 0, 89, 0, 0, 69, 0, 0];
        return Uint8Array.from([...text("RIFF"), 22, 0, 0, 0, ...text("WEBP"), ...vp8x]);
      },
      /animated/,
    ],
    [
      "a JPEG of a thousand scans",
      async () => {
        const bytes = await file("444-progressive.jpg");
        const scans = Array(1000).fill([0xff, 0xda, 0, 2]).flat();
        return Uint8Array.from([...bytes.subarray(0, -2), ...scans, 0xff, 0xd9]);
      },
      /more than 64 scans/,
    ],
    [
      "a JPEG whose middle is missing",
      async () => {
        const bytes = await file("420.jpg");
        return Uint8Array.from([...bytes.subarray(0, 4000), 0xff, 0xd9]);
      },
      /damaged or cut off/,
    ],
    ["a PNG without pixels", async () => changed(await file("rgb.png"), 16, [0, 0, 0, 0]), /0×60/],
  ];
  test.each(kinds)("%s", async (_, make, message) => {
    await expect(decodeImage(await make())).rejects.toThrow(message);
  });

  const whole = [
    "420.jpg",
    "444-progressive.jpg",
    "grey.jpg",
    "orientation-6.jpg",
    "rgb.png",
    "palette.png",
    "one-pixel.png",
  ];
  test.each([...whole, "lossy.webp", "lossless.webp", "orientation-6.webp"])("%s cut off anywhere", async (name) => {
    const bytes = await file(name);
    const ends = new Set([...Array(60).keys()].map((i) => Math.floor((i * bytes.length) / 60)));
    for (let missing = 1; missing <= 20; missing++) ends.add(bytes.length - missing);
    for (const end of ends) {
      const seen = await decodeImage(bytes.subarray(0, end)).catch((error: Error) => error);
      expect([end, seen]).toEqual([end, expect.objectContaining({ name: "ImageError" })]);
      if (end >= 12) expect([end, seen]).toEqual([end, expect.objectContaining({ kind: "damaged" })]);
    }
  });

  test.each(whole)("%s with bytes behind its end is as without", async (name) => {
    const bytes = await file(name);
    const longer = Uint8Array.from([...bytes, ...text("behind"), 0xff, 0xda, 0xff]);
    expect((await decodeImage(longer)).data).toEqual((await decodeImage(bytes)).data);
  });

  test("random damage gives a picture of the size said, or an ImageError, and the next picture is as before", async () => {
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (const name of ["420.jpg", "444-progressive.jpg", "rgb.png", "palette.png", "lossy.webp", "lossless.webp"]) {
      const bytes = await file(name);
      const clean = await decodeImage(bytes);
      for (let round = 0; round < 40; round++) {
        const copy = bytes.slice(0, random(4) === 0 ? random(bytes.length) : bytes.length);
        for (let i = 0; i < 8 && copy.length > 0; i++) copy[random(copy.length)] = random(256);
        const seen = await decodeImage(copy).catch((error: Error) => error);
        if (seen instanceof Error) expect(seen.name).toBe("ImageError");
        else expect(seen.data.length).toBe(4 * seen.width * seen.height);
      }
      expect((await decodeImage(bytes)).data).toEqual(clean.data);
    }
  });
});
