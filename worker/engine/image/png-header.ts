import { exifOrientation } from "./exif.ts";
import { ascii, cutOff, type ImageHeader, truncated } from "./image-header.ts";

/** IHDR, eXIf where there is one, and that the chunks have an end (PNG, third edition). */
export function pngHeader(bytes: Uint8Array): ImageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 33 || ascii(bytes, 12, 16) !== "IHDR") throw truncated("PNG", bytes);
  const size = { width: view.getUint32(16), height: view.getUint32(20) };
  let orientation = 1;
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    if (ascii(bytes, at + 4, at + 8) === "eXIf") orientation = exifOrientation(bytes.subarray(at + 8, at + 8 + length));
    if (ascii(bytes, at + 4, at + 8) === "IEND") return { format: "png", ...size, orientation };
    at += 12 + length;
  }
  throw cutOff("PNG", bytes);
}
