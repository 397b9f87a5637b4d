/** A trained model as its authors published it: a configuration and named tensors, whatever the file format. */
import { CheckpointError } from "./errors.ts";

/** Bytes that can be read from anywhere: a file, a blob, memory. */
export interface ByteSource {
  readonly size: number;
  /** Exactly `length` bytes from `offset`; both lie inside. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Tensors of floats, read one at a time so that a large checkpoint need not fit in memory. */
export interface CheckpointTensors {
  /** in the order of the file. */
  names(): string[];
  /** @throws CheckpointError when there is none of that name */
  shape(name: string): readonly number[];
  /**
   * The values as f32, row-major, not checked to be finite.
   * @throws CheckpointError when there is none of that name, or it holds integers
   */
  read(name: string): Promise<Float32Array>;
}

export interface Checkpoint {
  /** what config.json holds, not checked. */
  readonly config: unknown;
  readonly tensors: CheckpointTensors;
  /** tokenizer.json, where there is one. */
  readonly tokenizer?: Uint8Array;
  /** its chat template in Jinja, where there is one. */
  readonly chatTemplate?: Uint8Array;
  /** preprocessor_config.json of Hugging Face's image models, where there is one; not checked. */
  readonly preprocessor?: unknown;
  /** for messages, such as "checkpoint /models/mamba-130m". */
  readonly description: string;
}

const STRING_OR_NUMBER_NAME = /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g;

/**
 * config.json as Python writes it: with bare Infinity, -Infinity and NaN, which JSON has not, or with them as
 * {"__float__": "Infinity"}.
 * @throws CheckpointError when it is not JSON otherwise
 */
export function parseConfig(text: string, description: string): unknown {
  const json = text.replace(STRING_OR_NUMBER_NAME, (token) =>
    token.startsWith('"') ? token : `{"__float__":"${token}"}`,
  );
  try {
    return JSON.parse(json, (_, value) => {
      const float = typeof value === "object" && value !== null ? value.__float__ : undefined;
      return typeof float === "string" && Object.keys(value).length === 1 ? Number(float) : value;
    });
  } catch (cause) {
    throw new CheckpointError(`${description}: not JSON (${(cause as Error).message}); download it again`, { cause });
  }
}

/** Several checkpoints' tensors as one, read where the map says. */
export function joinTensors(
  parts: ReadonlyMap<string, CheckpointTensors>,
  partOf: ReadonlyMap<string, string>,
  description: string,
): CheckpointTensors {
  const part = (name: string): CheckpointTensors => {
    const tensors = parts.get(partOf.get(name) ?? "");
    if (tensors === undefined) throw missing(name, partOf.keys(), description);
    return tensors;
  };
  return {
    names: () => [...partOf.keys()],
    shape: (name) => part(name).shape(name),
    read: (name) => part(name).read(name),
  };
}

/** What torch's DataParallel and torch.compile put before every name of the model that they wrap. */
const WRAPPERS = ["module.", "_orig_mod."];

/** The tensors by the names that the wrapped model gives them. Each prefix is taken off once, where every name has it. */
export function unwrapTensors(tensors: CheckpointTensors): CheckpointTensors {
  const left = [...WRAPPERS];
  let prefix = "";
  for (;;) {
    const names = tensors.names();
    const at = left.findIndex((wrapper) => names.length > 0 && names.every((n) => n.startsWith(prefix + wrapper)));
    if (at < 0) break;
    prefix += left.splice(at, 1)[0];
  }
  if (prefix === "") return tensors;
  return {
    names: () => tensors.names().map((name) => name.slice(prefix.length)),
    shape: (name) => tensors.shape(prefix + name),
    read: (name) => tensors.read(prefix + name),
  };
}

/** The error of a tensor that is not there, with those that are. */
export function missing(name: string, names: Iterable<string>, description: string): CheckpointError {
  const all = [...names];
  const shown = all.length > 8 ? `${all.slice(0, 8).join(", ")} and ${all.length - 8} more` : all.join(", ");
  return new CheckpointError(`${description}: no tensor ${name}; it holds ${shown || "none"}`);
}
