import { expect, test } from "vitest";
import { checkHeader, type SnapshotHeader } from "../../worker/engine/snapshot-header.ts";

const header: SnapshotHeader = {
  model: "tiny@0123456789ab",
  family: "mamba@0123456789ab",
  consumed: 7,
  pending: [5],
  window: { tokens: [1, 2 ** 32 - 1], generated: [0, 1] },
  seed: 2 ** 53 - 1,
  utf8: Uint8Array.of(0xe2, 0x98),
  held: "<|",
};

test.each([
  header,
  { ...header, pending: [], seed: null, utf8: new Uint8Array(0), held: "" },
  { ...header, window: { tokens: Array(512).fill(3), generated: Array(512).fill(0) } },
])("a header is taken as it is", (given) => {
  expect(checkHeader(given)).toBe(given);
});

const { model: _, ...noModel } = header;
test.each<[unknown, string]>([
  [null, "it must be a map of model, family, consumed, pending, window, seed, utf8, held"],
  [7, "it must be a map of model"],
  [[], "model must be a text"],
  [noModel, "model must be a text"],
  [{ ...header, model: 3 }, "model must be a text"],
  [{ ...header, extra: 1 }, "extra must be left out: there are model, family"],
  [{ ...header, consumed: -1 }, "consumed must be a whole number ≥ 0"],
  [{ ...header, consumed: 1.5 }, "consumed must be a whole number ≥ 0"],
  [{ ...header, consumed: "7" }, "consumed must be a whole number ≥ 0"],
  [{ ...header, consumed: 2 ** 53 }, "consumed must be a whole number ≥ 0"],
  [{ ...header, consumed: Number.NaN }, "consumed must be a whole number ≥ 0"],
  [{ ...header, pending: [1, 2] }, "pending must be a list of at most one token"],
  [{ ...header, pending: new Uint8Array(1) }, "pending must be a list of at most one token"],
  [{ ...header, pending: ["1"] }, "pending must be a list of at most one token"],
  [{ ...header, window: null }, "window must be a map of tokens, generated"],
  [{ ...header, window: { tokens: [] } }, "window.generated must be a list of at most 512 zeros and ones"],
  [{ ...header, window: { tokens: [2 ** 32], generated: [0] } }, "window.tokens must be a list of at most 512 tokens"],
  [{ ...header, window: { tokens: Array(513).fill(0), generated: [] } }, "window.tokens must be a list of"],
  [{ ...header, window: { tokens: [1], generated: [2] } }, "window.generated must be a list of"],
  [{ ...header, window: { tokens: [1], generated: [true] } }, "window.generated must be a list of"],
  [{ ...header, window: { ...header.window, more: 1 } }, "window.more must be left out: there are window.tokens"],
  [{ ...header, seed: undefined }, "seed must be a whole number ≥ 0, or null"],
  [{ ...header, seed: -1 }, "seed must be a whole number ≥ 0, or null"],
  [{ ...header, utf8: new Uint8Array(4) }, "utf8 must be at most 3 bytes"],
  [{ ...header, utf8: [0xe2] }, "utf8 must be at most 3 bytes"],
  [{ ...header, held: "x".repeat(65537) }, "held must be a text of at most 65536 characters"],
  [{ ...header, held: null }, "held must be a text of at most 65536 characters"],
])("%j is refused, saying which field must be what", (given, message) => {
  expect(() => checkHeader(given)).toThrow(`the snapshot's header is not valid: ${message}`);
});
