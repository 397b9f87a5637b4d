/** Checks a decoded manifest field by field, trusting nothing of it. */
import { PackageError } from "./errors.ts";
import { validateImageInput } from "./image-input.ts";
import { ENCODINGS, type Encoding, encodedBytes, LAYOUT_VERSION } from "./layout.ts";
import {
  CHAT_TEMPLATE_BYTES,
  type FileEntry,
  type Hyperparameters,
  MANIFEST_FILE,
  type Manifest,
  PACKAGE_VERSION,
  SHARD_BYTES,
  TENSOR_ALIGN,
  type TensorEntry,
  TOKENIZER_BYTES,
} from "./manifest.ts";

/** What a package may be called: it is part of URLs and of folder names. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const FILE = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const TENSOR_NAME = /^[!-~]{1,256}$/;
const HASH = /^[0-9a-f]{64}$/;
const FIELDS = [
  "version",
  "layout",
  "name",
  "id",
  "family",
  "architecture",
  "hyperparameters",
  "quantization",
  "source",
  "tensors",
  "shards",
  "tokenizer",
  "chatTemplate",
  "image",
  "trainedExamples",
];

/** What a package's matrices may be, by what was asked for: a q4 package keeps as q8 what 4 bits would hurt. */
const MAY_HOLD: Readonly<Record<Encoding, readonly Encoding[]>> = {
  f32: ["f32"],
  q8: ["f32", "q8"],
  q4: ["f32", "q8", "q4"],
};

/** Whether a package may be called so. */
export function isName(name: string): boolean {
  return NAME.test(name);
}

/** @throws PackageError when a package may not be called so */
export function checkName(name: string, description = "package"): string {
  return text({ name }, "name", description, NAME, "1 to 64 letters, digits, dots, dashes, underscores");
}

/**
 * The manifest in a decoded value; the ids' hashes are not recomputed here.
 * @param description of where it came from, for messages
 * @throws PackageError naming the field, what it held and what it must hold
 */
export function validateManifest(value: unknown, description: string): Manifest {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new PackageError(`${description}: holds ${show(value)}, not a manifest; point to a model package`);
  }
  const m = value as Record<string, unknown>;
  version(m, "version", PACKAGE_VERSION, description);
  version(m, "layout", LAYOUT_VERSION, description);
  for (const field of Object.keys(m)) {
    if (!FIELDS.includes(field)) {
      throw wrong(description, field, m[field], `none of version ${PACKAGE_VERSION}'s fields`);
    }
  }

  const quantization = encoding(m, "quantization", description);
  const shards = list(m, "shards", description).map((entry, i) =>
    fileEntry(entry, `${description}: shards[${i}]`, SHARD_BYTES),
  );
  const tokenizer =
    m.tokenizer === undefined ? undefined : fileEntry(m.tokenizer, `${description}: tokenizer`, TOKENIZER_BYTES);
  const chatTemplate =
    m.chatTemplate === undefined
      ? undefined
      : fileEntry(m.chatTemplate, `${description}: chatTemplate`, CHAT_TEMPLATE_BYTES);
  const files = new Set<string>([MANIFEST_FILE]);
  for (const { file } of [...shards, ...(tokenizer ? [tokenizer] : []), ...(chatTemplate ? [chatTemplate] : [])]) {
    if (files.has(file))
      throw new PackageError(`${description}: file ${file} is listed twice; convert the package again`);
    files.add(file);
  }
  const total = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  return {
    version: PACKAGE_VERSION,
    layout: LAYOUT_VERSION,
    name: checkName(m.name as string, description),
    id: text(m, "id", description, /^[!-~]{1,128}$/, "name@12 hex"),
    family: text(m, "family", description, /^[!-~]{1,128}$/, "architecture@12 hex"),
    architecture: text(m, "architecture", description, NAME, "a name such as mamba"),
    hyperparameters: hyperparameters(m.hyperparameters, description),
    quantization,
    source: text(m, "source", description, HASH, "64 lower-case hex digits"),
    tensors: tensorTable(list(m, "tensors", description), quantization, total, description),
    shards,
    ...(tokenizer && { tokenizer }),
    ...(chatTemplate && { chatTemplate }),
    ...(m.image !== undefined && { image: validateImageInput(m.image, description) }),
    ...(m.trainedExamples !== undefined && {
      trainedExamples: integer(m.trainedExamples, description, "trainedExamples", 1, 2 ** 24),
    }),
  };
}

/** Tensors lie in their order, each at the next multiple of 16, and end with the last shard. */
function tensorTable(
  values: readonly unknown[],
  quantization: Encoding,
  total: number,
  description: string,
): TensorEntry[] {
  const names = new Set<string>();
  let end = 0;
  const tensors = values.map((value, i) => {
    const where = `${description}: tensors[${i}]`;
    const t = fields(value, where, ["name", "shape", "encoding", "offset", "bytes"]);
    const name = text(t, "name", where, TENSOR_NAME, "1 to 256 printable ASCII characters");
    if (names.has(name)) throw new PackageError(`${where}: ${name} is listed twice; convert the package again`);
    names.add(name);
    const shape = list(t, "shape", where).map((size, axis) => integer(size, where, `shape[${axis}]`, 1, 2 ** 31));
    if (shape.length > 8) throw wrong(where, "shape", shape, "1 to 8 sizes");
    const tensor = { name, shape, encoding: encoding(t, "encoding", where) };
    const allowed = shape.length === 2 ? MAY_HOLD[quantization] : MAY_HOLD.f32;
    if (!allowed.includes(tensor.encoding)) {
      const expected = `${allowed.join(" or ")} (quantization ${quantization}, shape (${shape.join(", ")}))`;
      throw wrong(where, "encoding", tensor.encoding, expected);
    }
    const offset = integer(t.offset, where, "offset", 0, total);
    const expected = Math.ceil(end / TENSOR_ALIGN) * TENSOR_ALIGN;
    if (offset !== expected)
      throw wrong(where, "offset", offset, `${expected}, the multiple of 16 after the one before`);
    const bytes = integer(t.bytes, where, "bytes", 1, total);
    const size = encodedBytes(shape, tensor.encoding);
    if (bytes !== size) throw wrong(where, "bytes", bytes, `${size} for ${tensor.encoding} (${shape.join(", ")})`);
    end = offset + bytes;
    return { ...tensor, offset, bytes };
  });
  if (end !== total) {
    throw new PackageError(
      `${description}: the tensors end at byte ${end}, the shards at ${total}; fetch or convert the package again`,
    );
  }
  return tensors;
}

function fileEntry(value: unknown, where: string, most: number): FileEntry {
  const f = fields(value, where, ["file", "bytes", "sha256"]);
  return {
    file: text(f, "file", where, FILE, "a plain file name without folders"),
    bytes: integer(f.bytes, where, "bytes", 1, most),
    sha256: text(f, "sha256", where, HASH, "64 lower-case hex digits"),
  };
}

function hyperparameters(value: unknown, description: string): Hyperparameters {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(description, "hyperparameters", value, "a map");
  }
  for (const [key, v] of Object.entries(value)) {
    const fine = typeof v === "number" ? !Number.isNaN(v) : typeof v === "boolean" || typeof v === "string";
    if (!fine) throw wrong(description, `hyperparameters.${key}`, v, "a number, boolean or string");
  }
  return Object.fromEntries(Object.entries(value));
}

function version(m: Record<string, unknown>, field: string, known: number, description: string): void {
  const seen = m[field];
  if (typeof seen === "number" && seen > known) {
    throw new PackageError(
      `${description}: ${field} ${seen} is newer than ${known}, the newest read here: update mamba-edge or convert the package again`,
    );
  }
  if (seen !== known) throw wrong(description, field, seen, String(known));
}

function fields(value: unknown, where: string, names: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(where, "entry", value, "a map");
  for (const key of Object.keys(value)) {
    if (!names.includes(key))
      throw wrong(where, key, (value as Record<string, unknown>)[key], `none but ${names.join(", ")}`);
  }
  return value as Record<string, unknown>;
}

function list(m: Record<string, unknown>, field: string, where: string): readonly unknown[] {
  const value = m[field];
  if (!Array.isArray(value) || value.length === 0) throw wrong(where, field, value, "a list with at least one entry");
  return value;
}

function text(m: Record<string, unknown>, field: string, where: string, pattern: RegExp, expected: string): string {
  const value = m[field];
  if (typeof value !== "string" || !pattern.test(value)) throw wrong(where, field, value, expected);
  return value;
}

function encoding(m: Record<string, unknown>, field: string, where: string): Encoding {
  const value = m[field];
  if (!ENCODINGS.includes(value as Encoding)) throw wrong(where, field, value, ENCODINGS.join(", "));
  return value as Encoding;
}

function integer(value: unknown, where: string, field: string, least: number, most: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
    throw wrong(where, field, value, `an integer in ${least}..${most}`);
  }
  return value;
}

function wrong(where: string, field: string, seen: unknown, expected: string): PackageError {
  return new PackageError(
    `${where}: ${field} is ${show(seen)}, must be ${expected}; the manifest is damaged or was altered: fetch or convert the package again`,
  );
}

function show(value: unknown): string {
  const shown = JSON.stringify(value, (_, v) => (typeof v === "bigint" ? String(v) : v)) ?? String(value);
  return shown.length > 80 ? `${shown.slice(0, 80)}…` : shown;
}
