/** The directory of a zip file of stored entries, as torch.save and numpy.savez write it (PKWARE APPNOTE 6.3.10, zip64 included). */
import type { ByteSource } from "./checkpoint.ts";
import { CheckpointError } from "./errors.ts";

export interface ZipEntry {
  /** of its bytes, from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

const END_BYTES = 22;
const COMMENT_BYTES = 65_535;
const MOST_ENTRIES = 100_000;
const MOST_DIRECTORY = 32 * 2 ** 20;

/**
 * @param writer what such files come from, for messages
 * @throws CheckpointError on what is damaged, compressed or encrypted, or lies outside the file
 */
export async function readZip(
  source: ByteSource,
  description: string,
  writer = "torch.save",
): Promise<Map<string, ZipEntry>> {
  const damaged = (what: string): CheckpointError =>
    new CheckpointError(`${description}: ${what}; the file is damaged, or not from ${writer}: save it again`);
  const view = async (offset: number, bytes: number, what: string): Promise<DataView> => {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + bytes > source.size)
      throw damaged(`${what} lies at bytes ${offset}..${offset + bytes} of ${source.size}`);
    const read = await source.read(offset, bytes);
    return new DataView(read.buffer, read.byteOffset, read.byteLength);
  };
  const tailBytes = Math.min(source.size, END_BYTES + COMMENT_BYTES);
  const tail = await view(source.size - tailBytes, tailBytes, "the end");
  let end = tailBytes - END_BYTES;
  while (end >= 0 && tail.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw damaged("no zip directory in it (PyTorch before 1.6 wrote no zip files)");
  let [count, size, start] = [
    tail.getUint16(end + 10, true),
    tail.getUint32(end + 12, true),
    tail.getUint32(end + 16, true),
  ];
  if (count === 0xffff || size === 0xffffffff || start === 0xffffffff) {
    const locator = await view(source.size - tailBytes + end - 20, 20, "the zip64 locator");
    if (locator.getUint32(0, true) !== 0x07064b50) throw damaged("its zip64 locator is missing");
    const end64 = await view(Number(locator.getBigUint64(8, true)), 56, "the zip64 end");
    if (end64.getUint32(0, true) !== 0x06064b50) throw damaged("its zip64 end is missing");
    [count, size, start] = [32, 40, 48].map((at) => Number(end64.getBigUint64(at, true))) as [number, number, number];
  }
  if (count > MOST_ENTRIES || size > MOST_DIRECTORY)
    throw damaged(
      `its directory has ${count} entries in ${size} bytes, at most ${MOST_ENTRIES} in ${MOST_DIRECTORY} are read`,
    );
  const directory = await view(start, size, "the directory");
  const entries = new Map<string, ZipEntry>();
  for (let i = 0, at = 0; i < count; i++) {
    if (at + 46 > size || directory.getUint32(at, true) !== 0x02014b50)
      throw damaged(`entry ${i} of its directory is cut off`);
    const u16 = (offset: number): number => directory.getUint16(at + offset, true);
    const u32 = (offset: number): number => directory.getUint32(at + offset, true);
    const [nameBytes, extraBytes, commentBytes] = [u16(28), u16(30), u16(32)];
    const next = at + 46 + nameBytes + extraBytes + commentBytes;
    if (next > size) throw damaged(`entry ${i} of its directory is cut off`);
    const name = new TextDecoder().decode(new Uint8Array(directory.buffer, directory.byteOffset + at + 46, nameBytes));
    if ((u16(8) & 1) !== 0) throw damaged(`${name} is encrypted`);
    if (u16(10) !== 0) throw damaged(`${name} is compressed (method ${u16(10)}), and ${writer} compresses nothing`);
    if (entries.has(name)) throw damaged(`${name} is in it twice`);
    const long = wide(directory, at + 46 + nameBytes, extraBytes, [u32(24), u32(20), u32(42)]);
    if (long === undefined) throw damaged(`${name} lacks its zip64 sizes`);
    const [bytes, stored, header] = long;
    if (bytes !== stored) throw damaged(`${name} has ${stored} bytes stored, and ${bytes} in all`);
    const local = await view(header, 30, `the header of ${name}`);
    if (local.getUint32(0, true) !== 0x04034b50) throw damaged(`the header of ${name} is missing`);
    const offset = header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
    if (offset + bytes > source.size)
      throw damaged(`${name} lies at bytes ${offset}..${offset + bytes} of ${source.size}`);
    entries.set(name, { offset, bytes });
    at = next;
  }
  return entries;
}

/** [size, stored size, header]: those that are all ones stand in the zip64 extra field, in this order. */
function wide(
  view: DataView,
  at: number,
  bytes: number,
  short: [number, number, number],
): [number, number, number] | undefined {
  if (short.every((v) => v !== 0xffffffff)) return short;
  for (let p = at; p + 4 <= at + bytes; p += 4 + view.getUint16(p + 2, true)) {
    if (view.getUint16(p, true) !== 1) continue;
    const end = Math.min(at + bytes, p + 4 + view.getUint16(p + 2, true));
    let q = p + 4;
    const long = short.map((v) => {
      if (v !== 0xffffffff) return v;
      q += 8;
      return q <= end ? Number(view.getBigUint64(q - 8, true)) : Number.NaN;
    }) as [number, number, number];
    return long.every(Number.isSafeInteger) ? long : undefined;
  }
  return undefined;
}
