import { readFileSync } from "node:fs";
import { GGML_TYPES, type GgmlType } from "../../scripts/bench/peers/ggml-types.ts";

export interface GgufFile {
  readonly magic: string;
  readonly version: number;
  readonly metadata: Map<string, unknown>;
  readonly tensors: { name: string; dims: number[]; type: GgmlType; offset: number }[];
  /** first byte of the tensors. */
  readonly data: number;
  readonly bytes: Uint8Array;
}

/** A reader of GGUF from the format's description, written apart from the writer. */
export function readGguf(path: string): GgufFile {
  const file = readFileSync(path);
  let at = 0;
  const take = (bytes: number): number => {
    at += bytes;
    return at - bytes;
  };
  const u32 = (): number => file.readUInt32LE(take(4));
  const u64 = (): number => Number(file.readBigUInt64LE(take(8)));
  const string = (): string => {
    const length = u64();
    return file.toString("utf8", take(length), at);
  };
  const value = (type: number): unknown => {
    switch (type) {
      case 4:
        return u32();
      case 5:
        return file.readInt32LE(take(4));
      case 6:
        return file.readFloatLE(take(4));
      case 7:
        return file.readUInt8(take(1)) === 1;
      case 8:
        return string();
      case 9: {
        const of = u32();
        return Array.from({ length: u64() }, () => value(of));
      }
      default:
        throw new Error(`value type ${type}`);
    }
  };
  const magic = file.toString("latin1", take(4), at);
  const version = u32();
  const [tensorCount, valueCount] = [u64(), u64()];
  const metadata = new Map(Array.from({ length: valueCount }, () => [string(), value(u32())] as const));
  const names = new Map(Object.entries(GGML_TYPES).map(([name, { id }]) => [id, name as GgmlType]));
  const tensors = Array.from({ length: tensorCount }, () => {
    const name = string();
    const dims = Array.from({ length: u32() }, u64);
    return { name, dims, type: names.get(u32())!, offset: u64() };
  });
  return { magic, version, metadata, tensors, data: Math.ceil(at / 32) * 32, bytes: file };
}
