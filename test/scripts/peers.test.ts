import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { f32ToF16, getF16 } from "../../scripts/bench/peers/f16.ts";
import { decodeGgml, encodeGgml, GGML_TYPES, type GgmlType, ggmlBytes } from "../../scripts/bench/peers/ggml-types.ts";
import { type GgufValue, writeGguf } from "../../scripts/bench/peers/gguf.ts";
import { type FileType, type MambaSizes, mambaTensors, writeMamba } from "../../scripts/bench/peers/mamba-gguf.ts";
import { randomValues } from "../../scripts/bench/peers/random-values.ts";
import { letters, textOf } from "../../scripts/bench/peers/vocabulary.ts";
import { f16ToF32 } from "../../weights/dtype.ts";

const folder = mkdtempSync(join(tmpdir(), "mamba-edge-gguf-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SIZES: MambaSizes = {
  vocab: 200,
  dim: 256,
  layers: 2,
  inner: 512,
  state: 16,
  conv: 4,
  dtRank: 16,
  eps: 1e-5,
  tied: true,
  bias: false,
  convBias: true,
};

interface Parsed {
  readonly magic: string;
  readonly version: number;
  readonly metadata: Map<string, unknown>;
  readonly tensors: { name: string; dims: number[]; type: GgmlType; offset: number }[];
  /** first byte of the tensors. */
  readonly data: number;
  readonly bytes: Uint8Array;
}

/** A reader of GGUF from the format's description, written apart from the writer. */
function parse(path: string): Parsed {
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

describe("a GGUF file of a Mamba", () => {
  const files: readonly FileType[] = ["F32", "Q8_0", "Q4_0", "Q4_0 --pure"];
  const written = async (type: FileType): Promise<Parsed & { size: number }> => {
    const path = join(folder, `${type}.gguf`);
    const size = await writeMamba(path, SIZES, type);
    return { ...parse(path), size };
  };

  test("states the version and what llama.cpp asks of a Mamba", async () => {
    const { magic, version, metadata, tensors } = await written("Q8_0");
    expect(magic).toBe("GGUF");
    expect(version).toBe(3);
    expect(tensors).toHaveLength(2 + 10 * SIZES.layers);
    expect(Object.fromEntries([...metadata].filter(([key]) => !key.startsWith("tokenizer.")))).toEqual({
      "general.architecture": "mamba",
      "general.name": "random mamba 2x256",
      "general.file_type": 7,
      "general.quantization_version": 2,
      "mamba.context_length": 2 ** 20,
      "mamba.embedding_length": 256,
      "mamba.feed_forward_length": 0,
      "mamba.attention.head_count": 0,
      "mamba.block_count": 2,
      "mamba.ssm.conv_kernel": 4,
      "mamba.ssm.inner_size": 512,
      "mamba.ssm.state_size": 16,
      "mamba.ssm.time_step_rank": 16,
      "mamba.ssm.dt_b_c_rms": false,
      "mamba.attention.layer_norm_rms_epsilon": Math.fround(1e-5),
    });
  });

  test("has a token of every id, the printable characters among them once each", async () => {
    const { metadata } = await written("F32");
    const tokens = metadata.get("tokenizer.ggml.tokens") as string[];
    expect(tokens).toHaveLength(SIZES.vocab);
    expect(new Set(tokens).size).toBe(SIZES.vocab);
    expect(metadata.get("tokenizer.ggml.token_type")).toHaveLength(SIZES.vocab);
    expect(metadata.get("tokenizer.ggml.merges")).toEqual([]);
    expect(metadata.get("tokenizer.ggml.add_bos_token")).toBe(false);
    expect(tokens.slice(1, 95).join("")).toBe(textOf(Array.from({ length: 94 }, (_, i) => i + 1)));
  });

  test.each(files)("%s: tensors lie at multiples of 32, one after another, to the end of the file", async (type) => {
    const { tensors, data, bytes, size } = await written(type);
    let [next, total] = [0, 0];
    for (const { name, dims, type, offset } of tensors) {
      expect(offset, name).toBe(next);
      const length = ggmlBytes(
        type,
        dims.reduce((a, b) => a * b, 1),
      );
      next = Math.ceil((offset + length) / 32) * 32;
      total += length;
    }
    expect(bytes.length).toBe(data + next);
    expect(size).toBe(total);
  });

  test.each(
    files,
  )("%s: tensors have llama.cpp's names and sizes, the fastest first, and decode to the weights", async (type) => {
    const { tensors, data, bytes } = await written(type);
    const expected = mambaTensors(SIZES, type);
    expect(tensors.map((t) => t.name).sort()).toEqual(expected.map((t) => t.ggufName).sort());
    for (const { name, shape, ggufName } of expected) {
      const tensor = tensors.find((t) => t.name === ggufName)!;
      expect(tensor.dims, ggufName).toEqual([...shape].reverse());
      const source = randomValues(name, shape);
      const length = ggmlBytes(tensor.type, source.length);
      const decoded = decodeGgml(tensor.type, bytes.subarray(data + tensor.offset, data + tensor.offset + length));
      expect(worstOf(tensor.type, source, decoded), ggufName).toBeLessThanOrEqual(1);
    }
  });

  test.each<[FileType, Record<string, GgmlType>]>([
    ["F32", { "token_embd.weight": "F32", "blk.0.ssm_in.weight": "F32", "blk.0.ssm_dt.weight": "F32" }],
    ["Q8_0", { "token_embd.weight": "Q8_0", "blk.0.ssm_in.weight": "Q8_0", "blk.0.ssm_x.weight": "Q8_0" }],
    ["Q4_0", { "token_embd.weight": "Q6_K", "blk.0.ssm_in.weight": "Q4_0", "blk.0.ssm_out.weight": "Q4_0" }],
    ["Q4_0 --pure", { "token_embd.weight": "Q4_0", "blk.0.ssm_in.weight": "Q4_0", "blk.0.ssm_dt.weight": "F16" }],
  ])("%s: types are what llama-quantize chooses", (type, some) => {
    const types = new Map(mambaTensors(SIZES, type).map((t) => [t.ggufName, t.type]));
    for (const [name, expected] of Object.entries(some)) expect(types.get(name), name).toBe(expected);
    for (const name of ["attn_norm.weight", "ssm_conv1d.weight", "ssm_conv1d.bias", "ssm_dt.bias", "ssm_a", "ssm_d"]) {
      expect(types.get(`blk.1.${name}`), name).toBe("F32");
    }
    expect(types.get("output_norm.weight")).toBe("F32");
  });

  test("rows that fill blocks of 32 and not of 256 have their head in Q8_0, and dt_proj is quantized when it fits", () => {
    const types = new Map(
      mambaTensors({ ...SIZES, dim: 288, inner: 576, dtRank: 32 }, "Q4_0").map((t) => [t.ggufName, t.type]),
    );
    expect(types.get("token_embd.weight")).toBe("Q8_0");
    expect(types.get("blk.0.ssm_dt.weight")).toBe("Q4_0");
  });
});

/** The largest error, as part of the largest that the type allows. */
function worstOf(type: GgmlType, source: Float32Array, decoded: Float32Array): number {
  const { values } = GGML_TYPES[type];
  let worst = 0;
  for (let start = 0; start < source.length; start += values) {
    const block = source.subarray(start, start + values);
    const max = block.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const allowed = {
      F32: 0,
      F16: Math.max(max * 2 ** -11, 2 ** -25),
      Q8_0: (max / 127) * 0.5,
      // The largest becomes −8 and there is no 8, so that its like of the other sign is a step off.
      Q4_0: max / 8,
      // −32 and 32 likewise, and what rounding the scale of each 16 to one of 127 adds.
      Q6_K: max / 32 + max / 254,
    }[type];
    // The scale itself is rounded to f16.
    const slack = type === "F32" ? 0 : max * 2 ** -10;
    block.forEach((w, i) => {
      const error = Math.abs(w - decoded[start + i]!);
      if (error > 0) worst = Math.max(worst, error / (allowed + slack));
    });
  }
  return worst;
}

describe("blocks", () => {
  test("Q8_0: the scale, then the integers in order", () => {
    const values = Float32Array.from({ length: 32 }, (_, i) => (i - 16) * 0.5);
    values[31] = 63.5;
    const bytes = encodeGgml("Q8_0", values);
    expect(getF16(bytes, 0)).toBe(0.5);
    expect([...new Int8Array(bytes.buffer, 2)]).toEqual([...values].map((v) => 2 * v));
    expect(decodeGgml("Q8_0", bytes)).toEqual(values);
  });

  test("Q4_0: the first 16 in the low halves, the others in the high ones, 8 being zero", () => {
    const values = Float32Array.from({ length: 32 }, (_, i) => ((i * 5) % 16) - 8);
    const bytes = encodeGgml("Q4_0", values);
    expect(getF16(bytes, 0)).toBe(1);
    for (let j = 0; j < 16; j++) expect(bytes[2 + j]).toBe((values[j]! + 8) | ((values[j + 16]! + 8) << 4));
    expect(decodeGgml("Q4_0", bytes)).toEqual(values);
  });

  test("Q4_0: the scale is negative when the largest is positive", () => {
    const bytes = encodeGgml(
      "Q4_0",
      Float32Array.from({ length: 32 }, (_, i) => i / 4),
    );
    expect(getF16(bytes, 0)).toBeLessThan(0);
    expect(decodeGgml("Q4_0", bytes)[31]).toBeCloseTo(7.75, 2);
  });

  test("Q6_K: four quarters of each 128 share the low halves and the high bits", () => {
    const bytes = new Uint8Array(210);
    bytes[208] = 0x00;
    bytes[209] = 0x3c; // d = 1
    bytes.fill(1, 192, 208);
    bytes[192 + 13] = 0xfe; // scale −2 of elements 208 to 223
    bytes[64 + 32 + 17] = 0x5a; // second half, l = 17: low halves of elements 128 + 32 + 17 and 128 + 96 + 17
    bytes[128 + 32 + 17] = 0b10_01_11_00; // and the high bits of elements 128 + 17, + 49, + 81, + 113
    const values = decodeGgml("Q6_K", bytes);
    expect(values[128 + 17]).toBe((0 | (0 << 4)) - 32);
    expect(values[128 + 49]).toBe((0xa | (3 << 4)) - 32);
    expect(values[128 + 81]).toBe(-2 * ((0 | (1 << 4)) - 32));
    expect(values[128 + 113]).toBe((0x5 | (2 << 4)) - 32);
  });

  test.each<GgmlType>(["Q8_0", "Q4_0", "Q6_K", "F16"])("%s: zeros stay zeros", (type) => {
    const zeros = new Float32Array(256);
    expect(decodeGgml(type, encodeGgml(type, zeros)).every((v) => v === 0)).toBe(true);
  });

  test("values that fill no block are refused", () => {
    expect(() => encodeGgml("Q6_K", new Float32Array(128))).toThrow(RangeError);
  });
});

describe("f16", () => {
  test("every finite half survives", () => {
    for (let half = 0; half < 0x10000; half++) {
      if ((half & 0x7c00) !== 0x7c00) expect(f32ToF16(f16ToF32(half))).toBe(half);
    }
  });

  test.each([
    [1 + 2 ** -11, 0x3c00, "ties to even, down"],
    [1 + 3 * 2 ** -11, 0x3c02, "ties to even, up"],
    [65519, 0x7bff, "the largest"],
    [65520, 0x7c00, "too large is infinite"],
    [-(2 ** -25), 0x8000, "half of the smallest ties to zero"],
    [1.5 * 2 ** -24, 0x0002, "subnormals tie to even too"],
    [Number.NaN, 0x7e00, "NaN"],
  ])("%f is %i: %s", (value, half) => {
    expect(f32ToF16(value)).toBe(half);
  });
});

describe("writeGguf", () => {
  test("metadata of every kind is read back", async () => {
    const path = join(folder, "values.gguf");
    const metadata = new Map<string, GgufValue>([
      ["a.u32", { u32: 4_294_967_295 }],
      ["a.f32", { f32: 0.1 }],
      ["a.bool", { bool: true }],
      ["a.string", { string: "Ċ and ünïcode" }],
      ["a.i32s", { i32s: [1, -1] }],
      ["a.strings", { strings: ["", "x"] }],
    ]);
    expect(await writeGguf(path, metadata, [])).toBe(0);
    expect(Object.fromEntries(parse(path).metadata)).toEqual({
      "a.u32": 4_294_967_295,
      "a.f32": Math.fround(0.1),
      "a.bool": true,
      "a.string": "Ċ and ünïcode",
      "a.i32s": [1, -1],
      "a.strings": ["", "x"],
    });
  });

  test("rows that fill no block, and bytes that are too few, are refused", async () => {
    const tensor = { name: "w", shape: [2, 48], type: "Q8_0", bytes: () => new Uint8Array(102) } as const;
    await expect(writeGguf(join(folder, "rows.gguf"), new Map(), [tensor])).rejects.toThrow(/rows of 48 do not fill/);
    const short = { ...tensor, shape: [2, 32], bytes: () => new Uint8Array(67) } as const;
    await expect(writeGguf(join(folder, "short.gguf"), new Map(), [short])).rejects.toThrow(/takes 68 bytes/);
  });
});

test("prompts are letters, and differ by their seeds", () => {
  expect(textOf(letters(6, 0))).toBe("aisesi");
  expect(letters(6, 1)).not.toEqual(letters(6, 0));
  expect(() => textOf([0])).toThrow(RangeError);
});
