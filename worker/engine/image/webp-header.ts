import { ImageError } from "../errors.ts";
import { exifOrientation } from "./exif.ts";
import { ascii, type ImageHeader, truncated } from "./image-header.ts";

const ANIMATED = 0x02;

/** The chunks of a WebP (RFC 9649). */
export function webpHeader(bytes: Uint8Array): ImageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let size: { width: number; height: number } | undefined;
  let orientation = 1;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const name = ascii(bytes, at, at + 4);
    const [body, length] = [at + 8, view.getUint32(at + 4, true)];
    if (name === "VP8X" || name === "VP8L" || name === "VP8 ") {
      if (body + 10 > bytes.length) throw truncated("WebP", bytes);
      const found = name === "VP8X" ? extended(view, body) : name === "VP8L" ? lossless(view, body) : lossy(view, body);
      // The canvas and the picture on it are both decoded into.
      if (size !== undefined && (size.width !== found.width || size.height !== found.height)) {
        throw new ImageError(
          "damaged",
          `the WebP says ${size.width}×${size.height} and ${found.width}×${found.height}: the file is damaged`,
        );
      }
      size = found;
    }
    if (name === "EXIF") {
      const exif = bytes.subarray(body, body + length);
      orientation = exifOrientation(ascii(exif, 0, 6) === "Exif\0\0" ? exif.subarray(6) : exif);
    }
    at = body + length + (length & 1);
  }
  if (size === undefined) throw truncated("WebP", bytes);
  return { format: "webp", ...size, orientation };
}

function extended(view: DataView, at: number): { width: number; height: number } {
  if (view.getUint8(at) & ANIMATED) throw new ImageError("unsupported", "the WebP is animated: send one picture");
  const u24 = (from: number): number => view.getUint16(from, true) | (view.getUint8(from + 2) << 16);
  return { width: u24(at + 4) + 1, height: u24(at + 7) + 1 };
}

function lossless(view: DataView, at: number): { width: number; height: number } {
  const bits = view.getUint32(at + 1, true);
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
}

function lossy(view: DataView, at: number): { width: number; height: number } {
  return { width: view.getUint16(at + 6, true) & 0x3fff, height: view.getUint16(at + 8, true) & 0x3fff };
}
