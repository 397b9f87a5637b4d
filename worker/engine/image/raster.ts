/** Decoded pixels, seen the way up that they are meant to be: turning and mirroring change the steps, not the bytes. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  /** R, G, B in three bytes after one another from `origin + x·stepX + y·stepY`. */
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly origin: number;
  readonly stepX: number;
  readonly stepY: number;
}

const RGBA = 4;

/**
 * RGBA rows as decoders give them. Alpha is left out, as Pillow's convert("RGB") does.
 * @param orientation as Exif tag 0x0112 counts: 1 upright, 2 mirrored, 3 turned by 180°, 4 both, 5 to 8 the same with rows for columns
 */
export function rasterOf(data: Uint8Array | Uint8ClampedArray, width: number, height: number, orientation = 1): Raster {
  const row = width * RGBA;
  const fromRight = [2, 3, 7, 8].includes(orientation);
  const fromBottom = [3, 4, 6, 7].includes(orientation);
  const across = fromRight ? -RGBA : RGBA;
  const down = fromBottom ? -row : row;
  const origin = (fromRight ? row - RGBA : 0) + (fromBottom ? (height - 1) * row : 0);
  return orientation >= 5
    ? { width: height, height: width, data, origin, stepX: down, stepY: across }
    : { width, height, data, origin, stepX: across, stepY: down };
}
