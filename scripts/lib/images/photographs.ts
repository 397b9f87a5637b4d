import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { UsageError } from "../cli.ts";

/** Labelled pictures in the form of scripts/train/images.py: NAME.webppack holds WebP files one after another, NAME.idx where. */
export interface Photographs {
  readonly name: string;
  /** names of the labels; absent where no classes.json is beside them. */
  readonly classes: readonly string[] | undefined;
  readonly labels: readonly number[];
  /** one picture's file. */
  bytes(index: number): Uint8Array;
}

/** u32 offset, u16 length, u16 label, little endian. */
const RECORD_BYTES = 8;

/** The pictures of one split ("val" or "train"), at most the first `limit`. @throws UsageError saying what the folder lacks */
export function openPhotographs(folder: string, split: string, limit = Number.POSITIVE_INFINITY): Photographs {
  const pack = packOf(folder, split);
  const data = readFileSync(join(folder, pack));
  const index = readFileSync(join(folder, pack.replace(/webppack$/, "idx")));
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength);
  if (index.length === 0 || index.length % RECORD_BYTES !== 0) {
    throw new UsageError(`${folder}: the index of ${pack} has ${index.length} bytes, no multiple of ${RECORD_BYTES}`);
  }
  const count = Math.min(limit, index.length / RECORD_BYTES);
  const records = Array.from({ length: count }, (_, i) => {
    const at = i * RECORD_BYTES;
    const [offset, length] = [view.getUint32(at, true), view.getUint16(at + 4, true)];
    if (length === 0 || offset + length > data.length) {
      throw new UsageError(`${folder}: picture ${i} lies at bytes ${offset}..${offset + length} of ${data.length}`);
    }
    return { offset, length, label: view.getUint16(at + 6, true) };
  });
  return {
    name: basename(pack, ".webppack"),
    classes: readClasses(folder),
    labels: records.map(({ label }) => label),
    bytes(i) {
      const { offset, length } = records[i]!;
      return data.subarray(offset, offset + length);
    },
  };
}

function packOf(folder: string, split: string): string {
  const packs = existsSync(folder) ? readdirSync(folder).filter((f) => f.endsWith(`_${split}.webppack`)) : [];
  const [pack] = packs;
  if (pack === undefined || packs.length > 1 || !existsSync(join(folder, pack.replace(/webppack$/, "idx")))) {
    throw new UsageError(
      `${folder} must hold one NAME_${split}.webppack with NAME_${split}.idx, it holds ${packs.join(", ") || "none"}`,
    );
  }
  return pack;
}

function readClasses(folder: string): string[] | undefined {
  const file = join(folder, "classes.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}
