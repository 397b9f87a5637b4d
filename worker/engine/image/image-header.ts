import { ImageError } from "../errors.ts";
import { jpegHeader } from "./jpeg-header.ts";
import { pngHeader } from "./png-header.ts";
import { webpHeader } from "./webp-header.ts";

export type ImageFormat = "jpeg" | "png" | "webp";

/** What a picture's file says before anything is decoded. */
export interface ImageHeader {
  readonly format: ImageFormat;
  /** pixels, as they are stored: before `orientation`. */
  readonly width: number;
  readonly height: number;
  /** Exif tag 0x0112, 1 to 8; 1 where there is none. */
  readonly orientation: number;
}

const OTHERS: readonly (readonly [name: string, begins: string])[] = [
  ["a GIF", "GIF8"],
  ["a PDF", "%PDF"],
  ["a zip archive", "PK"],
  ["a BMP", "BM"],
  ["a TIFF", "II*\0"],
  ["a TIFF", "MM\0*"],
  ["an SVG or XML text", "<"],
  ["a data: URL, in which pictures are not read", "data:"],
  ["JSON, in which pictures are not read", "{"],
];

/**
 * Reads format, size and orientation, and refuses what could not be decoded, or not in bounded time.
 * @throws ImageError
 */
export function readImageHeader(bytes: Uint8Array): ImageHeader {
  const header = headerOf(bytes);
  const { width, height } = header;
  if (width === 0 || height === 0)
    throw new ImageError("damaged", `the picture is ${width}×${height}: it has no pixels`);
  return header;
}

function headerOf(bytes: Uint8Array): ImageHeader {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return jpegHeader(bytes);
  if (ascii(bytes, 0, 8) === "\x89PNG\r\n\x1a\n") return pngHeader(bytes);
  if (ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 12) === "WEBP") return webpHeader(bytes);
  const isBrand = ascii(bytes, 4, 8) === "ftyp";
  const other = isBrand
    ? `a ${ascii(bytes, 8, 12)} file (HEIC, AVIF or video)`
    : OTHERS.find(([, begins]) => ascii(bytes, 0, begins.length) === begins)?.[0];
  const seen =
    other ??
    (isText(bytes)
      ? "a text, by the look of it"
      : `bytes that begin with ${[...bytes.subarray(0, 4)].map((b) => b.toString(16).padStart(2, "0")).join(" ")}`);
  throw new ImageError(
    "unsupported",
    `the body is ${bytes.length === 0 ? "empty" : seen}: send a JPEG, a PNG or a WebP picture`,
  );
}

/** Whether the first bytes are UTF-8 without control characters other than tabs and line ends. */
function isText(bytes: Uint8Array): boolean {
  try {
    const start = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes.subarray(0, 256), {
      stream: true,
    });
    return !/[^\P{Cc}\t\n\r\f]/u.test(start);
  } catch {
    return false;
  }
}

/** Characters of bytes, one each. */
export function ascii(bytes: Uint8Array, from: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(from, end));
}

export function truncated(format: string, bytes: Uint8Array): ImageError {
  return new ImageError(
    "damaged",
    `the ${format} ends after ${bytes.length} bytes, before its size is said: send the whole file`,
  );
}

/** Of a file whose size is said, and whose end is missing. */
export function cutOff(format: string, bytes: Uint8Array): ImageError {
  return new ImageError(
    "damaged",
    `the ${format} is damaged or cut off: it has no end within its ${bytes.length} bytes; send the whole file`,
  );
}
