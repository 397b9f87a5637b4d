import { SnapshotError } from "./errors.ts";
import { PENALTY_WINDOW, type PenaltyWindowArrays } from "./penalty-window.ts";

/** What stands in front of a snapshot's state. */
export interface SnapshotHeader {
  readonly model: string;
  readonly family: string;
  readonly consumed: number;
  readonly pending: readonly number[];
  readonly window: PenaltyWindowArrays;
  readonly seed: number | null;
  /** of an unfinished character. */
  readonly utf8: Uint8Array;
  readonly held: string;
}

type Check = readonly [what: string, holds: (value: unknown) => boolean];
type Fields = Readonly<Record<string, Check | readonly [fields: Fields]>>;

const isWhole = (most: number) => (value: unknown) =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= most;
const isCount = isWhole(Number.MAX_SAFE_INTEGER);
const isText = (value: unknown): boolean => typeof value === "string";
const isList = (most: number, isItem: (value: unknown) => boolean) => (value: unknown) =>
  Array.isArray(value) && value.length <= most && value.every(isItem);

const FIELDS: Fields = {
  model: ["a text", isText],
  family: ["a text", isText],
  consumed: ["a whole number ≥ 0", isCount],
  pending: ["a list of at most one token", isList(1, isCount)],
  window: [
    {
      tokens: [`a list of at most ${PENALTY_WINDOW} tokens`, isList(PENALTY_WINDOW, isWhole(0xffffffff))],
      generated: [`a list of at most ${PENALTY_WINDOW} zeros and ones`, isList(PENALTY_WINDOW, isWhole(1))],
    },
  ],
  seed: ["a whole number ≥ 0, or null", (value) => value === null || isCount(value)],
  utf8: ["at most 3 bytes", (value) => value instanceof Uint8Array && value.length < 4],
  held: ["a text of at most 65536 characters", (value) => isText(value) && String(value).length <= 1 << 16],
};

/** The header in a decoded value, which may be anything. @throws SnapshotError naming the field, and what it must be */
export function checkHeader(value: unknown): SnapshotHeader {
  checkFields(value, FIELDS, "");
  return value as SnapshotHeader;
}

function checkFields(value: unknown, fields: Fields, path: string): void {
  const fault = (where: string, what: string): SnapshotError =>
    new SnapshotError(`the snapshot's header is not valid: ${where} must be ${what}; send the bytes as they were read`);
  const names = Object.keys(fields);
  if (typeof value !== "object" || value === null)
    throw fault(path.slice(0, -1) || "it", `a map of ${names.join(", ")}`);
  const unknown = Object.keys(value).find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw fault(path + unknown, `left out: there are ${names.map((n) => path + n).join(", ")}`);
  for (const [name, [what, holds]] of Object.entries(fields)) {
    const field = (value as Record<string, unknown>)[name];
    if (typeof what !== "string") checkFields(field, what, `${path}${name}.`);
    else if (!holds!(field)) throw fault(path + name, what);
  }
}
