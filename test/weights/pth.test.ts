import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { readPickle } from "../../weights/pickle.ts";
import { openPth } from "../../weights/pth.ts";
import { canonicalCheckpoint } from "../../worker/engine/architectures/index.ts";
import { effort } from "../effort.ts";

const FILE = "test/golden/vmamba-v0-tiny/checkpoint.pth";
const bytes = new Uint8Array(readFileSync(FILE));
const open = (file: Uint8Array) =>
  openPth({ size: file.length, read: async (offset, length) => file.slice(offset, offset + length) }, "x.pth");
const ascii = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

/** The file with bytes replaced, wherever they stand. */
function altered(find: string, replace: string): Uint8Array {
  const text = Buffer.from(bytes);
  const out = Uint8Array.from(bytes);
  let at = text.indexOf(find, 0, "latin1");
  if (at < 0) throw new Error(`${find} is not in the file`);
  for (; at >= 0; at = text.indexOf(find, at + 1, "latin1")) out.set(Buffer.from(replace, "latin1"), at);
  return out;
}

test.each(["vmamba-v0-tiny", "vmamba-v2-tiny"])("%s: the .pth means what the safetensors file means", async (name) => {
  const folder = `test/golden/${name}`;
  const [pth, safe] = [await openCheckpoint(`${folder}/checkpoint.pth`), await openCheckpoint(folder)];
  const [a, b] = [
    await canonicalCheckpoint(pth.config, pth.tensors),
    await canonicalCheckpoint(safe.config, safe.tensors),
  ];
  expect(a.hyperparameters).toEqual(b.hyperparameters);
  for (const [i, tensor] of a.tensors.entries()) expect(await tensor.read()).toEqual(await b.tensors[i]!.read());
});

describe("a pickle", () => {
  const P = [0x80, 2];
  const read = (codes: number[]): unknown => readPickle(Uint8Array.from(codes), "x.pth");
  const ORDERED = [...ascii("ccollections\nOrderedDict\n"), 0x29, 0x52];
  /** {name: {}} */
  const metadata = (name: string): number[] => [0x7d, 0x58, name.length, 0, 0, 0, ...ascii(name), 0x7d, 0x73];

  test("of a state dictionary with _metadata is read without it", () => {
    // OrderedDict(a=1), whose __dict__ becomes {"_metadata": {}}
    const items = [0x58, 1, 0, 0, 0, 0x61, 0x4b, 1, 0x73];
    expect([
      ...(read([...P, ...ORDERED, ...items, ...metadata("_metadata"), 0x62, 0x2e]) as Map<string, number>),
    ]).toEqual([["a", 1]]);
  });

  test("of plain values is read", () => {
    // {"a": [1, -2, 0.5, None, True]}
    const pickle = [...P, 0x7d, 0x58, 1, 0, 0, 0, 0x61, 0x28, 0x4b, 1, 0x4a, 0xfe, 0xff, 0xff, 0xff, 0x47, 0x3f, 0xe0];
    pickle.push(0, 0, 0, 0, 0, 0, 0x4e, 0x88, 0x74, 0x73, 0x2e);
    expect(read(pickle)).toEqual(new Map([["a", [1, -2, 0.5, null, true]]]));
  });

  const refused: [string, number[], RegExp][] = [
    ["os.system", [...P, ...ascii("cos\nsystem\n"), 0x2e], /names os\.system, which no tensor needs/],
    ["builtins.eval", [...P, ...ascii("cbuiltins\neval\n"), 0x2e], /names builtins\.eval/],
    ["STACK_GLOBAL", [...P, 0x93, 0x2e], /opcode STACK_GLOBAL, which no checkpoint of tensors needs/],
    ["BUILD on nothing", [...P, 0x4e, 0x4e, 0x62, 0x2e], /opcode BUILD of something other than .* _metadata/],
    ["BUILD on a plain dictionary", [...P, 0x7d, ...metadata("_metadata"), 0x62, 0x2e], /opcode BUILD of something/],
    [
      "BUILD of another attribute",
      [...P, ...ORDERED, ...metadata("__dict__"), 0x62, 0x2e],
      /opcode BUILD of something/,
    ],
    ["BUILD of a value", [...P, ...ORDERED, 0x4b, 1, 0x62, 0x2e], /opcode BUILD of something/],
    ["BUILD without an object", [...P, 0x7d, 0x62, 0x2e], /opcode BUILD of something/],
    ["INST", [...P, 0x28, ...ascii("ios\nsystem\n"), 0x2e], /opcode INST/],
    ["OBJ", [...P, 0x28, 0x6f], /opcode OBJ/],
    ["NEWOBJ", [...P, 0x81], /opcode NEWOBJ/],
    ["EXT1", [...P, 0x82, 1], /opcode EXT1/],
    ["an unknown opcode", [...P, 0xff], /opcode 0xff/],
    ["protocol 4", [0x80, 4], /protocol 4, only 2/],
    ["a call of a value", [...P, 0x4b, 1, 0x29, 0x52, 0x2e], /a call of something that is no function/],
    ["a storage's call", [...P, ...ascii("ctorch\nFloatStorage\n"), 0x29, 0x52], /torch\.FloatStorage is not as/],
    ["an empty stack", [...P, 0x2e], /a value that is not there/],
    ["no mark", [...P, 0x74], /lacks a mark/],
    ["a memo that is not there", [...P, 0x68, 9], /recalls 9/],
    ["a text beyond the end", [...P, 0x58, 0xff, 0xff, 0xff, 0xff], /cut off/],
    ["items on a number", [...P, 0x4b, 1, 0x4b, 1, 0x4b, 1, 0x73], /no dictionary/],
    ["a storage that is none", [...P, 0x4e, 0x51], /not as torch\.save writes it/],
    ["no end", [...P, 0x4e], /cut off/],
  ];
  test.each(refused)("with %s is refused", (_, codes, message) => {
    expect(() => read(codes)).toThrow(message);
  });
});

/** A file of one pickle {"w": tensor} and its storage; `zip64` puts every size and offset where larger files have them. */
function file(pickle: number[], storage: number[], zip64: boolean): Uint8Array {
  const le = (value: number, bytes: number): number[] =>
    Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256);
  const [out, directory]: [number[], number[]] = [[], []];
  const entries = [
    ["x/data.pkl", pickle],
    ["x/data/0", storage],
  ] as const;
  for (const [name, data] of entries) {
    const header = out.length;
    out.push(...ascii("PK\x03\x04"), ...le(45, 2), ...le(0, 12), ...le(data.length, 4), ...le(data.length, 4));
    out.push(...le(name.length, 2), ...le(0, 2), ...ascii(name), ...data);
    const extra = zip64 ? [1, 0, 24, 0, ...le(data.length, 8), ...le(data.length, 8), ...le(header, 8)] : [];
    const short = (value: number): number[] => (zip64 ? [255, 255, 255, 255] : le(value, 4));
    directory.push(...ascii("PK\x01\x02"), ...le(45, 2), ...le(45, 2), ...le(0, 12));
    directory.push(...short(data.length), ...short(data.length), ...le(name.length, 2), ...le(extra.length, 2));
    directory.push(...le(0, 10), ...short(header), ...ascii(name), ...extra);
  }
  const start = out.length;
  out.push(...directory);
  if (zip64) {
    const end = out.length;
    out.push(...ascii("PK\x06\x06"), ...le(44, 8), ...le(45, 2), ...le(45, 2), ...le(0, 8), ...le(2, 8), ...le(2, 8));
    out.push(...le(directory.length, 8), ...le(start, 8));
    out.push(...ascii("PK\x06\x07"), ...le(0, 4), ...le(end, 8), ...le(1, 4));
  }
  out.push(...ascii("PK\x05\x06"), ...le(0, 4), ...le(zip64 ? 0xffff : 2, 2), ...le(zip64 ? 0xffff : 2, 2));
  out.push(...le(zip64 ? 0xffffffff : directory.length, 4), ...le(zip64 ? 0xffffffff : start, 4), 0, 0);
  return Uint8Array.from(out);
}

/** {"w": a tensor of shape (2, 2)} in a storage of `count` elements, from element `offset` on. */
function pickleOf(type: string, count: number, offset = 0, strides: readonly [number, number] = [2, 1]): number[] {
  const text = (value: string): number[] => [0x58, value.length, 0, 0, 0, ...ascii(value)];
  return [
    ...[0x80, 2, 0x7d, ...text("w"), ...ascii("ctorch._utils\n_rebuild_tensor_v2\n"), 0x28, 0x28, ...text("storage")],
    ...[...ascii(`ctorch\n${type}\n`), ...text("0"), ...text("cpu"), 0x4b, count, 0x74, 0x51, 0x4b, offset],
    ...[0x4b, 2, 0x4b, 2, 0x86, 0x4b, strides[0], 0x4b, strides[1], 0x86, 0x89, 0x7d, 0x74, 0x52, 0x73, 0x2e],
  ];
}

describe("a tensor", () => {
  const ones = (one: number[], count: number): number[] => Array.from({ length: count }, () => one).flat();

  test.each([
    ["FloatStorage", [0, 0, 128, 63]],
    ["DoubleStorage", [0, 0, 0, 0, 0, 0, 240, 63]],
    ["HalfStorage", [0, 60]],
    ["BFloat16Storage", [128, 63]],
  ])("of a %s is read, in zip and zip64", async (type, one) => {
    for (const zip64 of [false, true]) {
      const tensors = await open(file(pickleOf(type, 5, 1), ones(one, 5), zip64));
      expect(tensors.shape("w")).toEqual([2, 2]);
      expect(await tensors.read("w")).toEqual(new Float32Array(4).fill(1));
    }
  });

  test.each([
    ["integers", pickleOf("LongStorage", 4), 32, /LongStorage, only floats/],
    [
      "more elements than the storage has",
      pickleOf("FloatStorage", 4, 1),
      16,
      /takes elements 1\.\.5 of a storage of 4/,
    ],
    ["a storage of other bytes", pickleOf("FloatStorage", 4), 12, /a storage of 4, which has 12 bytes/],
    ["another order", pickleOf("FloatStorage", 4, 0, [1, 2]), 16, /not contiguous/],
    ["strides of nothing", pickleOf("FloatStorage", 4, 0, [0, 0]), 16, /not contiguous/],
  ])("with %s is refused", async (_, pickle, size, message) => {
    const tensors = await open(file(pickle, new Array(size).fill(0), false));
    await expect(tensors.read("w")).rejects.toThrow(message);
  });
});

describe("a damaged or hostile file", () => {
  test("that names another function is refused by its name", async () => {
    await expect(
      open(altered("ctorch._utils\n_rebuild_tensor_v2\n", "cposix\nsystem\n0000000000000000000\n")),
    ).rejects.toThrow(/names posix\.system/);
  });

  test("with a compressed entry is refused", async () => {
    const file = Uint8Array.from(bytes);
    const directory = Buffer.from(file).indexOf(Uint8Array.of(0x50, 0x4b, 1, 2));
    file[directory + 10] = 8;
    await expect(open(file)).rejects.toThrow(/compressed \(method 8\)/);
  });

  test("whose sizes or offsets lie outside is refused", async () => {
    const file = Uint8Array.from(bytes);
    const directory = Buffer.from(file).indexOf(Uint8Array.of(0x50, 0x4b, 1, 2));
    file.set([0xff, 0xff, 0xff, 0x7f], directory + 42);
    await expect(open(file)).rejects.toThrow(/lies at bytes/);
    file.set([0xff, 0xff, 0xff, 0xff], directory + 42);
    await expect(open(file)).rejects.toThrow(/lacks its zip64 sizes/);
  });

  test.each([0, 1, 21, 22, 100, 7000, bytes.length - 30])("cut to %i bytes is refused", async (length) => {
    await expect(open(bytes.slice(0, length))).rejects.toThrow(/x\.pth/);
  });

  test("that is no zip, or has no state dictionary, says so", async () => {
    await expect(open(new Uint8Array(100))).rejects.toThrow(/no zip directory/);
    await expect(open(altered("_rebuild_tensor_v2", "_rebuild_tensor_v3"))).rejects.toThrow(/_rebuild_tensor_v3/);
  });

  test("with any byte of its pickle or directory changed is read or refused in words, and never more", async () => {
    const size = bytes.length;
    const areas = [
      [0, 7400],
      [size - 8000, size],
    ] as const;
    for (let i = 0; i < effort.fuzzCases; i++) {
      const [from, to] = areas[i % 2]!;
      const file = Uint8Array.from(bytes);
      file[from + ((i * 7919) % (to - from))]! ^= 1 << (i % 8);
      try {
        const tensors = await open(file);
        for (const name of tensors.names()) await tensors.read(name);
      } catch (error) {
        expect((error as Error).name).toBe("CheckpointError");
      }
    }
  });
});
