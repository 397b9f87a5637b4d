import { open } from "node:fs/promises";
import { GGML_TYPES, type GgmlType, ggmlBytes } from "./ggml-types.ts";

/**
 * GGUF version 3, the file format of llama.cpp: magic, version, counts, key-value pairs, tensor table, then the tensors' bytes, each
 * from a multiple of 32 on. Everything is little-endian; strings are a u64 length and UTF-8 bytes.
 */
const GGUF_VERSION = 3;
const ALIGNMENT = 32;

/** A value of the metadata, by the format's type names. */
export type GgufValue =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly i32s: readonly number[] }
  | { readonly strings: readonly string[] };

/** Numbers of the value types that are written. */
const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

export interface GgufTensor {
  readonly name: string;
  /** row-major; the file lists the sizes the other way round, the fastest first. */
  readonly shape: readonly number[];
  readonly type: GgmlType;
  /** The encoded bytes, made when they are written, one tensor at a time. */
  bytes(): Uint8Array;
}

/** Writes a file. @returns bytes of all tensors, without padding */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): Promise<number> {
  const file = await open(path, "w");
  try {
    const header = encodeHeader(metadata, tensors);
    await file.writeFile(header);
    let total = 0;
    for (const tensor of tensors) {
      const size = tensorBytes(tensor);
      const bytes = tensor.bytes();
      if (bytes.length !== size) {
        throw new RangeError(`tensor ${tensor.name} takes ${size} bytes as ${tensor.type}, got ${bytes.length}`);
      }
      await file.writeFile(bytes);
      await file.writeFile(new Uint8Array(padding(size)));
      total += size;
    }
    return total;
  } finally {
    await file.close();
  }
}

/** Everything before the first tensor's bytes. */
function encodeHeader(metadata: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensor[]): Uint8Array {
  const w = new Writer();
  w.bytes(new TextEncoder().encode("GGUF"));
  w.u32(GGUF_VERSION);
  w.u64(tensors.length);
  w.u64(metadata.size);
  for (const [key, value] of metadata) {
    w.string(key);
    writeValue(w, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    w.string(tensor.name);
    w.u32(tensor.shape.length);
    for (const size of [...tensor.shape].reverse()) w.u64(size);
    w.u32(GGML_TYPES[tensor.type].id);
    w.u64(offset);
    const size = tensorBytes(tensor);
    offset += size + padding(size);
  }
  w.bytes(new Uint8Array(padding(w.length)));
  return w.finish();
}

/** @throws RangeError when a row does not fill whole blocks */
function tensorBytes({ name, shape, type }: GgufTensor): number {
  const cols = shape.at(-1) ?? 1;
  if (cols % GGML_TYPES[type].values !== 0) {
    throw new RangeError(`tensor ${name}: rows of ${cols} do not fill blocks of ${GGML_TYPES[type].values} (${type})`);
  }
  return ggmlBytes(
    type,
    shape.reduce((a, b) => a * b, 1),
  );
}

function padding(size: number): number {
  return (ALIGNMENT - (size % ALIGNMENT)) % ALIGNMENT;
}

function writeValue(w: Writer, value: GgufValue): void {
  if ("u32" in value) {
    w.u32(VALUE_TYPES.u32);
    w.u32(value.u32);
  } else if ("f32" in value) {
    w.u32(VALUE_TYPES.f32);
    w.f32(value.f32);
  } else if ("bool" in value) {
    w.u32(VALUE_TYPES.bool);
    w.bytes(Uint8Array.of(value.bool ? 1 : 0));
  } else if ("string" in value) {
    w.u32(VALUE_TYPES.string);
    w.string(value.string);
  } else if ("i32s" in value) {
    w.u32(VALUE_TYPES.array);
    w.u32(VALUE_TYPES.i32);
    w.u64(value.i32s.length);
    for (const n of value.i32s) w.u32(n >>> 0);
  } else {
    w.u32(VALUE_TYPES.array);
    w.u32(VALUE_TYPES.string);
    w.u64(value.strings.length);
    for (const s of value.strings) w.string(s);
  }
}

/** Bytes that grow. */
class Writer {
  #buffer = new Uint8Array(1 << 16);
  length = 0;

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  u32(value: number): void {
    this.#view(4).setUint32(0, value, true);
  }

  u64(value: number): void {
    this.#view(8).setBigUint64(0, BigInt(value), true);
  }

  f32(value: number): void {
    this.#view(4).setFloat32(0, value, true);
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.bytes(bytes);
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.length);
  }

  #view(size: number): DataView {
    this.#reserve(size);
    const view = new DataView(this.#buffer.buffer, this.length, size);
    this.length += size;
    return view;
  }

  #reserve(size: number): void {
    if (this.length + size <= this.#buffer.length) return;
    const grown = new Uint8Array(2 * (this.length + size));
    grown.set(this.#buffer.subarray(0, this.length));
    this.#buffer = grown;
  }
}
