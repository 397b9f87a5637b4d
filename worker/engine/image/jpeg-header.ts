import { ImageError } from "../errors.ts";
import { exifOrientation } from "./exif.ts";
import { ascii, cutOff, type ImageHeader, truncated } from "./image-header.ts";

/** Most scans of a progressive JPEG; encoders write about 10, and each costs a pass over all pixels however short it is. */
const MOST_SCANS = 64;

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const APP1 = 0xe1;
/** Frames, without DHT, JPG and DAC, which lie between their markers. */
const isFrame = (marker: number): boolean => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);

/** The segments up to the first scan, and that the scans have an end (ITU T.81, annex B). */
export function jpegHeader(bytes: Uint8Array): ImageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 2;
  let orientation = 1;
  let size: { width: number; height: number } | undefined;
  while (at + 4 <= bytes.length) {
    const marker = bytes[at + 1]!;
    if (bytes[at] !== 0xff) throw new ImageError("damaged", `byte ${at} of the JPEG is no marker: the file is damaged`);
    // Fill bytes, and markers without a length.
    if (marker === 0xff) at += 1;
    else if (marker === SOI || (marker >= 0xd0 && marker <= 0xd7) || marker === 0x01) at += 2;
    else if (marker === EOI) break;
    else if (marker === SOS) {
      if (size === undefined) throw truncated("JPEG", bytes);
      checkScans(bytes, at);
      return { format: "jpeg", ...size, orientation };
    } else {
      const length = view.getUint16(at + 2);
      const end = at + 2 + length;
      if (length < 2 || end > bytes.length) throw truncated("JPEG", bytes);
      if (isFrame(marker)) size = frame(bytes.subarray(at + 4, end), marker);
      if (marker === APP1 && ascii(bytes, at + 4, at + 10) === "Exif\0\0")
        orientation = exifOrientation(bytes.subarray(at + 10, end));
      at = end;
    }
  }
  throw truncated("JPEG", bytes);
}

function frame(segment: Uint8Array, marker: number): { width: number; height: number } {
  if (segment.length < 6) throw new ImageError("damaged", "the JPEG's frame header is cut off: the file is damaged");
  const view = new DataView(segment.buffer, segment.byteOffset, segment.byteLength);
  const [bits, height, width, components] = [view.getUint8(0), view.getUint16(1), view.getUint16(3), view.getUint8(5)];
  if (bits !== 8)
    throw new ImageError("unsupported", `the JPEG has ${bits} bits a sample, 8 can be read: save it with 8`);
  if (marker > 0xc2)
    throw new ImageError(
      "unsupported",
      `the JPEG is of a rare kind (marker ff${marker.toString(16)}): save it as baseline or progressive`,
    );
  if (components !== 1 && components !== 3) {
    const what = components === 4 ? "CMYK colours" : `${components} components`;
    throw new ImageError("unsupported", `the JPEG has ${what}, grey and RGB can be read: convert it to RGB`);
  }
  return { width, height };
}

/**
 * From the first scan to the end of the image. Decoders fill what a file that is cut off lacks with grey, so its end is looked for here;
 * what comes after it is no part of the picture.
 */
function checkScans(bytes: Uint8Array, from: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let scans = 0;
  for (let at = nextMarker(bytes, from); at >= 0; at = nextMarker(bytes, at)) {
    const marker = bytes[at + 1]!;
    if (marker === EOI) return;
    if (marker === SOS && ++scans > MOST_SCANS)
      throw new ImageError("unsupported", `the JPEG has more than ${MOST_SCANS} scans: save it again with fewer`);
    if (at + 4 > bytes.length) break;
    at += 2 + view.getUint16(at + 2);
  }
  throw cutOff("JPEG", bytes);
}

/** Where the next marker of a segment is; -1 where there is none. Stuffed zeros, restarts and fill bytes lie within the coded data. */
function nextMarker(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(0xff, from); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 1)) {
    const byte = bytes[at + 1]!;
    const isData = byte === 0x00 || byte === 0x01 || byte === 0xff || (byte >= 0xd0 && byte <= 0xd7);
    if (!isData) return at;
  }
  return -1;
}
