import { describe, expect, test } from "vitest";
import type { ByteSource } from "../../weights/checkpoint.ts";
import { f16ToF32 } from "../../weights/dtype.ts";
import { CheckpointError } from "../../weights/errors.ts";
import { openSafetensors, openSafetensorsIndex } from "../../weights/safetensors.ts";

function source(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, read: async (offset, length) => bytes.subarray(offset, offset + length) };
}

/** A file of a header, given as JSON or text, and so many bytes of data. */
function file(header: unknown, data: Uint8Array | number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  const out = new Uint8Array(8 + text.length + body.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  out.set(body, 8 + text.length);
  return out;
}

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

describe("reading", () => {
  test.each([
    {
      dtype: "F32",
      data: new Uint8Array(Float32Array.of(1.5, -2, 1e-40).buffer),
      values: [1.5, -2, Math.fround(1e-40)],
    },
    { dtype: "F64", data: new Uint8Array(Float64Array.of(1.5, 0.1).buffer), values: [1.5, Math.fround(0.1)] },
    {
      dtype: "BF16",
      data: new Uint8Array(Uint16Array.of(0x3fc0, 0xc000, 0x7fc0).buffer),
      values: [1.5, -2, Number.NaN],
    },
    { dtype: "F16", data: new Uint8Array(Uint16Array.of(0x3e00, 0xc000, 1).buffer), values: [1.5, -2, 2 ** -24] },
  ])("$dtype, whatever byte it lies at", async ({ dtype, data, values }) => {
    for (const pad of ["", " ", "  ", "   "]) {
      const header = JSON.stringify({ w: { dtype, shape: [values.length], data_offsets: [0, data.length] } }) + pad;
      const tensors = await openSafetensors(source(file(header, data)), "a.safetensors");
      expect([...(await tensors.read("w"))]).toEqual(values);
    }
  });

  test("names in order, shapes, metadata left out, empty tensors", async () => {
    const header = {
      __metadata__: { format: "pt" },
      b: f32(8, 16, [2, 1]),
      a: f32(0, 8),
      none: { dtype: "F32", shape: [0, 3], data_offsets: [8, 8] },
    };
    const tensors = await openSafetensors(source(file(header, 16)), "a.safetensors");
    expect(tensors.names()).toEqual(["b", "a", "none"]);
    expect(tensors.shape("b")).toEqual([2, 1]);
    expect((await tensors.read("none")).length).toBe(0);
    expect(() => tensors.shape("c")).toThrow("a.safetensors: no tensor c; it holds b, a, none");
    await expect(tensors.read("toString")).rejects.toThrow(CheckpointError);
  });

  test("a tensor called __proto__ is a tensor and changes no prototype", async () => {
    const header = `{"__proto__":${JSON.stringify({ ...f32(0, 4), polluted: 1 })}}`;
    const tensors = await openSafetensors(source(file(header, 4)), "a.safetensors");
    expect(tensors.names()).toEqual(["__proto__"]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test("integers are refused when they are read, not before", async () => {
    const header = { w: f32(0, 4), ids: { dtype: "I64", shape: [1], data_offsets: [4, 12] } };
    const tensors = await openSafetensors(source(file(header, 12)), "a.safetensors");
    expect(tensors.shape("ids")).toEqual([1]);
    await expect(tensors.read("ids")).rejects.toThrow(/tensor ids is I64, only F32/);
    expect((await tensors.read("w")).length).toBe(1);
  });
});

describe("a damaged file is refused", () => {
  const huge = new Uint8Array(16);
  new DataView(huge.buffer).setBigUint64(0, 2n ** 63n, true);
  test.each([
    { title: "empty", bytes: new Uint8Array(0), message: /0 bytes hold no header/ },
    {
      title: "shorter than its header",
      bytes: file({ w: f32(0, 4) }, 4).subarray(0, 40),
      message: /header of \d+ bytes/,
    },
    { title: "huge header length", bytes: huge, message: /where at most 8 fit/ },
    { title: "header that is not JSON", bytes: file("{oops", 0), message: /JSON cannot be read/ },
    { title: "NaN in the header", bytes: file('{"w":NaN}', 0), message: /JSON cannot be read/ },
    { title: "header that is a list", bytes: file("[]", 0), message: /not a JSON object/ },
    { title: "entry that is null", bytes: file({ w: null }, 0), message: /tensor w has dtype undefined/ },
    { title: "unknown dtype", bytes: file({ w: { ...f32(0, 4), dtype: "F33" } }, 4), message: /dtype "F33", known/ },
    {
      title: "dtype from the prototype",
      bytes: file({ w: { ...f32(0, 4), dtype: "constructor" } }, 4),
      message: /dtype/,
    },
    { title: "negative size", bytes: file({ w: f32(0, 4, [-1]) }, 4), message: /shape \[-1\]/ },
    { title: "size that is no integer", bytes: file({ w: f32(0, 4, [0.5]) }, 4), message: /shape/ },
    {
      title: "sizes whose product overflows",
      bytes: file({ w: f32(0, 4, [2 ** 40, 2 ** 40]) }, 4),
      message: /needs 4.8/,
    },
    { title: "shape of another size", bytes: file({ w: f32(0, 8, [3]) }, 8), message: /needs 12 bytes and has 8/ },
    { title: "one offset", bytes: file({ w: { ...f32(0, 4), data_offsets: [0] } }, 4), message: /data_offsets \[0\]/ },
    {
      title: "offsets backwards",
      bytes: file({ w: { ...f32(0, 4), data_offsets: [4, 0] } }, 4),
      message: /bytes 4..0/,
    },
    { title: "tensor past the end", bytes: file({ w: f32(0, 8) }, 4), message: /bytes 0..8 of 4/ },
    {
      title: "overlap",
      bytes: file({ a: f32(0, 8), b: f32(4, 12) }, 12),
      message: /b at byte 4 overlaps a, .* ends at 8/,
    },
    { title: "gap", bytes: file({ a: f32(0, 4), b: f32(8, 12) }, 12), message: /b at byte 8 leaves a gap behind a/ },
    { title: "bytes of nobody at the end", bytes: file({ a: f32(0, 4) }, 8), message: /end at byte \d+ of \d+/ },
  ])("$title", async ({ bytes, message }) => {
    const opening = openSafetensors(source(bytes), "a.safetensors");
    await expect(opening).rejects.toThrow(CheckpointError);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toThrow(/^a\.safetensors: /);
  });
});

describe("a checkpoint in parts", () => {
  const parts: Record<string, Uint8Array> = {
    "one.safetensors": file({ a: f32(0, 4), unlisted: f32(4, 8) }, new Uint8Array(Float32Array.of(1, 2).buffer)),
    "two.safetensors": file({ b: f32(0, 4) }, new Uint8Array(Float32Array.of(3).buffer)),
  };
  const open = async (name: string): Promise<ByteSource> => {
    const bytes = parts[name];
    if (bytes === undefined) throw new CheckpointError(`${name}: cannot be opened`);
    return source(bytes);
  };
  const index = (map: unknown) => openSafetensorsIndex(JSON.stringify({ weight_map: map }), open, "index");

  test("reads each tensor from its part, and only what the index lists", async () => {
    const tensors = await index({ b: "two.safetensors", a: "one.safetensors" });
    expect(tensors.names()).toEqual(["b", "a"]);
    expect(tensors.shape("a")).toEqual([1]);
    expect([...(await tensors.read("a")), ...(await tensors.read("b"))]).toEqual([1, 3]);
    expect(() => tensors.shape("unlisted")).toThrow(/no tensor unlisted/);
  });

  test.each([
    { title: "a tensor that its part has not", map: { c: "two.safetensors" }, message: /two.safetensors: no tensor c/ },
    {
      title: "a part that is missing",
      map: { a: "three.safetensors" },
      message: /three.safetensors: cannot be opened/,
    },
    { title: "a file in another folder", map: { a: "../one.safetensors" }, message: /plain file name/ },
    { title: "a file that is no name", map: { a: 1 }, message: /is in 1, must be/ },
    { title: "no map", map: undefined, message: /no weight_map/ },
  ])("$title is refused", async ({ map, message }) => {
    await expect(index(map)).rejects.toThrow(message);
  });
});

test("every f16 agrees with DataView's reading of it", () => {
  const view = new DataView(new ArrayBuffer(2)) as DataView & { getFloat16?(at: number): number };
  if (view.getFloat16 === undefined) throw new Error("needs Node 24");
  for (let half = 0; half < 65536; half++) {
    view.setUint16(0, half);
    if (!Object.is(f16ToF32(half), view.getFloat16(0))) expect(half).toBe("read otherwise");
  }
});
