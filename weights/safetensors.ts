/**
 * The safetensors format (github.com/huggingface/safetensors, README, "Format"): u64 length of the header, a JSON header of
 * {name: {dtype, shape, data_offsets: [begin, end]}}, then the data without gaps. Little-endian throughout.
 */
import { type ByteSource, type CheckpointTensors, joinTensors, missing } from "./checkpoint.ts";
import { decodeFloats, isFloatType, TYPE_BYTES } from "./dtype.ts";
import { CheckpointError } from "./errors.ts";

/** Most bytes of a header, as the format's own implementation has it. */
const HEADER_BYTES = 100_000_000;

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Opens one file, reading its header only.
 * @param description for messages, such as the file's path
 * @throws CheckpointError when the header is damaged or does not fit the file
 */
export async function openSafetensors(source: ByteSource, description: string): Promise<CheckpointTensors> {
  const entries = await readHeader(source, description);
  const entry = (name: string): Entry => {
    const found = entries.get(name);
    if (found === undefined) throw missing(name, entries.keys(), description);
    return found;
  };
  return {
    names: () => [...entries.keys()],
    shape: (name) => entry(name).shape,
    async read(name) {
      const { dtype, offset, bytes } = entry(name);
      if (!isFloatType(dtype)) {
        throw new CheckpointError(
          `${description}: tensor ${name} is ${dtype}, only F32, F64, F16 and BF16 are read; save it as one of these`,
        );
      }
      return decodeFloats(dtype, await source.read(offset, bytes));
    },
  };
}

/**
 * Opens a checkpoint in parts from its model.safetensors.index.json.
 * @param open gives a part's bytes by its file name
 * @throws CheckpointError when the index is damaged, or names a tensor that its part has not
 */
export async function openSafetensorsIndex(
  indexJson: string,
  open: (file: string) => Promise<ByteSource>,
  description: string,
): Promise<CheckpointTensors> {
  const map = field(parseJson(indexJson, description), "weight_map");
  if (!isObject(map)) {
    throw new CheckpointError(`${description}: no weight_map in it; download it again`);
  }
  const parts = new Map<string, CheckpointTensors>();
  const partOf = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== "string" || !/^[\w-][\w.-]*$/.test(file)) {
      throw new CheckpointError(
        `${description}: tensor ${name} is in ${JSON.stringify(file)}, must be a plain file name without folders`,
      );
    }
    let part = parts.get(file);
    if (part === undefined) {
      part = await openSafetensors(await open(file), file);
      parts.set(file, part);
    }
    part.shape(name);
    partOf.set(name, file);
  }
  return joinTensors(parts, partOf, description);
}

async function readHeader(source: ByteSource, description: string): Promise<Map<string, Entry>> {
  const damaged = (what: string): CheckpointError =>
    new CheckpointError(`${description}: ${what}; the file is damaged or not safetensors: download it again`);
  if (source.size < 8) throw damaged(`${source.size} bytes hold no header`);
  const prefix = await source.read(0, 8);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  const most = Math.min(HEADER_BYTES, source.size - 8);
  if (length > most) throw damaged(`header of ${length} bytes where at most ${most} fit`);
  const header = parseJson(new TextDecoder().decode(await source.read(8, length)), description);
  if (!isObject(header)) throw damaged("the header is not a JSON object");

  const start = 8 + length;
  const entries = new Map<string, Entry>();
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") entries.set(name, readEntry(name, value, start, source.size, damaged));
  }
  // In the order of the data, no two may share bytes and no byte may belong to none: what hides there would go unnoticed.
  let end = start;
  let before = "the header";
  for (const [name, entry] of [...entries].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (entry.offset !== end) {
      const relation = entry.offset < end ? "overlaps" : "leaves a gap behind";
      throw damaged(
        `tensor ${name} at byte ${entry.offset - start} ${relation} ${before}, which ends at ${end - start}`,
      );
    }
    end = entry.offset + entry.bytes;
    before = name;
  }
  if (end !== source.size) throw damaged(`the tensors end at byte ${end} of ${source.size}`);
  return entries;
}

function readEntry(
  name: string,
  value: unknown,
  start: number,
  size: number,
  damaged: (what: string) => CheckpointError,
): Entry {
  const dtype = field(value, "dtype");
  const shape = field(value, "shape");
  const offsets = field(value, "data_offsets");
  const each = typeof dtype === "string" ? TYPE_BYTES.get(dtype) : undefined;
  if (typeof dtype !== "string" || each === undefined) {
    throw damaged(`tensor ${name} has dtype ${JSON.stringify(dtype)}, known are ${[...TYPE_BYTES.keys()].join(", ")}`);
  }
  if (!isSizes(shape)) throw damaged(`tensor ${name} has shape ${JSON.stringify(shape)}`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw damaged(`tensor ${name} has data_offsets ${JSON.stringify(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || start + end > size) {
    throw damaged(`tensor ${name} lies at bytes ${begin}..${end} of ${size - start} of data`);
  }
  const bytes = each * shape.reduce((product, n) => product * n, 1);
  if (bytes !== end - begin) {
    throw damaged(`tensor ${name}, ${dtype} (${shape.join(", ")}), needs ${bytes} bytes and has ${end - begin}`);
  }
  return { dtype, shape, offset: start + begin, bytes };
}

function parseJson(text: string, description: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(
      `${description}: its JSON cannot be read (${(cause as Error).message}); the file is damaged or not safetensors: download it again`,
      { cause },
    );
  }
}

/** An object's own field; JSON may hold any key, `__proto__` too. */
function field(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
