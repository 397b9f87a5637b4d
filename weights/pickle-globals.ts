/** What a pickle of tensors may name, and the few things that it may have called. */
import type { CheckpointError } from "./errors.ts";

/** A storage: `key` names its bytes in the file. */
export interface PickledStorage {
  readonly type: string;
  readonly key: string;
  readonly count: number;
}

export interface PickledTensor {
  readonly storage: PickledStorage;
  /** in elements. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** A collections.OrderedDict, such as torch's state dictionaries are: unlike a plain dictionary it can have attributes. */
export class OrderedDict extends Map<unknown, unknown> {}

/** A name that a pickle may mention; it stands for itself. */
export class Global {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

const STORAGES = ["Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"];

/** The only names that are read. */
export const GLOBALS: ReadonlySet<string> = new Set([
  "collections.OrderedDict",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
  ...STORAGES.map((s) => `torch.${s}Storage`),
]);

/** Most dimensions of a tensor. */
const MOST_SHAPE = 16;

/** @param id what BINPERSID takes. @throws what `fail` makes */
export function storageOf(id: unknown, fail: (what: string) => CheckpointError): PickledStorage {
  const [kind, type, key, , count] = Array.isArray(id) ? (id as unknown[]) : [];
  if (
    kind !== "storage" ||
    !(type instanceof Global) ||
    typeof key !== "string" ||
    !isCount(count) ||
    !/^[\w.-]+$/.test(key)
  )
    throw fail("a storage is not as torch.save writes it");
  return { type: type.name, key, count };
}

/** The few calls that are needed, by what they mean. */
export function call(callee: unknown, args: unknown, fail: (what: string) => CheckpointError): unknown {
  if (!(callee instanceof Global) || !Array.isArray(args)) throw fail("a call of something that is no function");
  if (callee.name === "collections.OrderedDict" && args.length === 0) return new OrderedDict();
  if (callee.name === "torch._utils._rebuild_parameter" && args.length >= 1) return args[0];
  const [storage, offset, shape, strides] = args as [PickledStorage, unknown, unknown, unknown];
  const fits =
    callee.name === "torch._utils._rebuild_tensor_v2" &&
    args.length >= 4 &&
    isCount(offset) &&
    isCounts(shape) &&
    isCounts(strides);
  if (
    !fits ||
    shape.length !== strides.length ||
    typeof storage !== "object" ||
    storage === null ||
    !("key" in storage)
  )
    throw fail(`a call of ${callee.name} is not as torch.save writes it`);
  return { storage, offset, shape, strides } satisfies PickledTensor;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MOST_SHAPE && value.every(isCount);
}
