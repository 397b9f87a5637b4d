import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { decodeGgml, GGML_TYPES, type GgmlType, ggmlBytes } from "../../scripts/bench/peers/ggml-types.ts";
import { type GgufValue, writeGguf } from "../../scripts/bench/peers/gguf.ts";
import { type FileType, type MambaSizes, mambaTensors, writeMamba } from "../../scripts/bench/peers/mamba-gguf.ts";
import { randomValues } from "../../scripts/bench/peers/random-values.ts";
import { letters, textOf } from "../../scripts/bench/peers/vocabulary.ts";
import { type GgufFile, readGguf } from "../support/gguf-reader.ts";

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

describe("a GGUF file of a Mamba", () => {
  const files: readonly FileType[] = ["F32", "Q8_0", "Q4_0", "Q4_0 --pure"];
  const written = async (type: FileType): Promise<GgufFile & { size: number }> => {
    const path = join(folder, `${type}.gguf`);
    const size = await writeMamba(path, SIZES, type);
    return { ...readGguf(path), size };
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
    expect(Object.fromEntries(readGguf(path).metadata)).toEqual({
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
