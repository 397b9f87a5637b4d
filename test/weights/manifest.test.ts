import { Packr } from "msgpackr";
import { beforeAll, describe, expect, test } from "vitest";
import { decodeManifest, encodeManifest } from "../../weights/codec.ts";
import { PackageError } from "../../weights/errors.ts";
import { MANIFEST_FILE, type Manifest } from "../../weights/manifest.ts";
import { smallPackage, tensor } from "./fixtures.ts";

const packr = new Packr({ useRecords: false });
let bytes: Uint8Array;
let good: Manifest;

beforeAll(async () => {
  bytes = (await smallPackage()).files.get(MANIFEST_FILE) as Uint8Array;
  good = await decodeManifest(bytes);
});

// biome-ignore lint/suspicious/noExplicitAny: the cases put anything anywhere
type Loose = any;

const altered: { field: string; change: (m: Loose) => unknown; message: RegExp }[] = [
  { field: "a list", change: () => [], message: /holds \[\], not a manifest/ },
  { field: "null", change: () => null, message: /holds null, not a manifest/ },
  { field: "version newer", change: (m) => ({ ...m, version: 2 }), message: /version 2 is newer than 1.*update/ },
  { field: "version older", change: (m) => ({ ...m, version: 0 }), message: /version is 0, must be 1/ },
  { field: "version text", change: (m) => ({ ...m, version: "1" }), message: /version is "1"/ },
  { field: "layout newer", change: (m) => ({ ...m, layout: 9 }), message: /layout 9 is newer/ },
  { field: "an unknown field", change: (m) => ({ ...m, extra: 1 }), message: /extra is 1, must be none/ },
  { field: "name", change: (m) => ({ ...m, name: "../x" }), message: /name is "\.\.\/x"/ },
  { field: "name, well formed", change: (m) => ({ ...m, name: "other" }), message: /id is small@/ },
  { field: "name missing", change: ({ name, ...m }) => m, message: /name is undefined/ },
  { field: "id", change: (m) => ({ ...m, id: "small@000000000000" }), message: /its contents make small@/ },
  { field: "family", change: (m) => ({ ...m, family: "mamba@000000000000" }), message: /family is mamba@0.*altered/ },
  { field: "architecture", change: (m) => ({ ...m, architecture: "mamba2" }), message: /id is .* altered/ },
  { field: "architecture of another type", change: (m) => ({ ...m, architecture: 1 }), message: /architecture is 1/ },
  {
    field: "a hyperparameter",
    change: (m) => ({ ...m, hyperparameters: { ...m.hyperparameters, dim: 34 } }),
    message: /altered/,
  },
  {
    field: "a NaN hyperparameter",
    change: (m) => ({ ...m, hyperparameters: { dim: Number.NaN } }),
    message: /hyperparameters.dim/,
  },
  {
    field: "a nested hyperparameter",
    change: (m) => ({ ...m, hyperparameters: { a: {} } }),
    message: /a number, boolean or/,
  },
  {
    field: "hyperparameters missing",
    change: ({ hyperparameters, ...m }) => m,
    message: /hyperparameters is undefined/,
  },
  {
    field: "quantization",
    change: (m) => ({ ...m, quantization: "q3" }),
    message: /quantization is "q3", must be f32, q8, q4/,
  },
  {
    field: "quantization of other tensors",
    change: (m) => ({ ...m, quantization: "f32" }),
    message: /tensors\[1\]: encoding/,
  },
  {
    field: "no example in training",
    change: (m) => ({ ...m, trainedExamples: 0 }),
    message: /trainedExamples is 0, must/,
  },
  {
    field: "half an example",
    change: (m) => ({ ...m, trainedExamples: 1.5 }),
    message: /trainedExamples is 1\.5, must/,
  },
  { field: "source", change: (m) => ({ ...m, source: "0".repeat(64) }), message: /family is .* altered/ },
  { field: "source of another form", change: (m) => ({ ...m, source: "xyz" }), message: /64 lower-case hex/ },
  { field: "no tensors", change: (m) => ({ ...m, tensors: [] }), message: /tensors is \[\], must be a list/ },
  {
    field: "tensor dropped",
    change: (m) => ({ ...m, tensors: m.tensors.slice(0, 2) }),
    message: /tensors end at byte/,
  },
  { field: "tensor renamed", change: at("tensors", 0, { name: "scale2" }), message: /id is .* altered/ },
  { field: "tensor name twice", change: at("tensors", 2, { name: "scale" }), message: /scale is listed twice/ },
  { field: "tensor name with a space", change: at("tensors", 0, { name: "a b" }), message: /printable ASCII/ },
  { field: "tensor transposed", change: at("tensors", 2, { shape: [33, 7] }), message: /id is .* altered/ },
  { field: "tensor shape", change: at("tensors", 0, { shape: [34] }), message: /bytes is 132, must be 136/ },
  { field: "tensor shape negative", change: at("tensors", 0, { shape: [-33] }), message: /shape\[0\] is -33/ },
  { field: "tensor shape empty", change: at("tensors", 0, { shape: [] }), message: /shape is \[\]/ },
  { field: "tensor encoding", change: at("tensors", 1, { encoding: "f32" }), message: /tensors\[1\]: bytes is 3264/ },
  { field: "tensor encoding unknown", change: at("tensors", 1, { encoding: "q9" }), message: /encoding is "q9"/ },
  {
    field: "q4 tensor of a q8 package",
    change: at("tensors", 1, { encoding: "q4" }),
    message: /tensors\[1\]: encoding is "q4", must be f32 or q8 \(quantization q8/,
  },
  { field: "q4 vector", change: at("tensors", 0, { encoding: "q4" }), message: /encoding is "q4", must be f32 \(/ },
  { field: "q8 vector", change: at("tensors", 0, { encoding: "q8" }), message: /encoding is "q8", must be f32 \(/ },
  {
    field: "tensor offset unaligned",
    change: at("tensors", 1, { offset: 145 }),
    message: /offset is 145, must be 144/,
  },
  {
    field: "tensor offset overlapping",
    change: at("tensors", 1, { offset: 128 }),
    message: /offset is 128, must be 144/,
  },
  {
    field: "tensor offset with a gap",
    change: at("tensors", 1, { offset: 160 }),
    message: /offset is 160, must be 144/,
  },
  { field: "tensor offset negative", change: at("tensors", 0, { offset: -16 }), message: /offset is -16/ },
  { field: "tensor bytes", change: at("tensors", 0, { bytes: 136 }), message: /bytes is 136, must be 132/ },
  { field: "tensor beyond the shards", change: at("tensors", 2, { bytes: 1e9 }), message: /bytes is 1000000000/ },
  {
    field: "tensor field unknown",
    change: at("tensors", 0, { extra: 1 }),
    message: /extra is 1, must be none but name/,
  },
  { field: "tensor a number", change: (m) => ({ ...m, tensors: [1] }), message: /tensors\[0\]: entry is 1/ },
  { field: "bytes a big integer", change: at("tensors", 0, { bytes: 2n ** 60n }), message: /1152921504606846976/ },
  { field: "shards missing", change: ({ shards, ...m }) => m, message: /shards is undefined/ },
  {
    field: "shard dropped",
    change: (m) => ({ ...m, shards: m.shards.slice(1) }),
    message: /must be an integer|tensors end/,
  },
  { field: "shard file in a folder", change: at("shards", 0, { file: "../a.bin" }), message: /file is "\.\.\/a.bin"/ },
  { field: "shard file ..", change: at("shards", 0, { file: ".." }), message: /plain file name/ },
  { field: "shard file a path", change: at("shards", 0, { file: "a/b" }), message: /plain file name/ },
  { field: "shard file with a backslash", change: at("shards", 0, { file: "a\\b" }), message: /plain file name/ },
  {
    field: "shard file twice",
    change: at("shards", 1, { file: "shard-000.bin" }),
    message: /shard-000.bin is listed twice/,
  },
  { field: "shard the manifest", change: at("shards", 1, { file: MANIFEST_FILE }), message: /listed twice/ },
  {
    field: "shard too large",
    change: at("shards", 0, { bytes: 8 * 2 ** 20 + 1 }),
    message: /must be an integer in 1..8388608/,
  },
  { field: "shard of another size", change: at("shards", 0, { bytes: 1040 }), message: /tensors end at byte/ },
  { field: "shard hash", change: at("shards", 0, { sha256: "0".repeat(64) }), message: /id is .* altered/ },
  {
    field: "shard hash in capitals",
    change: at("shards", 0, { sha256: "A".repeat(64) }),
    message: /64 lower-case hex/,
  },
  { field: "tokenizer dropped", change: ({ tokenizer, ...m }) => m, message: /id is .* altered/ },
  {
    field: "tokenizer hash",
    change: (m) => ({ ...m, tokenizer: { ...m.tokenizer, sha256: "1".repeat(64) } }),
    message: /altered/,
  },
  {
    field: "tokenizer file",
    change: (m) => ({ ...m, tokenizer: { ...m.tokenizer, file: "/etc/passwd" } }),
    message: /plain/,
  },
];

function at(list: "tensors" | "shards", index: number, change: object): (m: Loose) => unknown {
  return (m) => ({ ...m, [list]: m[list].map((e: object, i: number) => (i === index ? { ...e, ...change } : e)) });
}

describe("an altered manifest is refused", () => {
  test.each(altered)("$field", async ({ change, message }) => {
    const decoding = decodeManifest(packr.pack(change(structuredClone(good))), "folder x: manifest.msgpack");
    await expect(decoding).rejects.toThrow(PackageError);
    await expect(decoding).rejects.toThrow(message);
    await expect(decoding).rejects.toThrow(/^folder x: manifest\.msgpack/);
  });

  test("cut off anywhere", async () => {
    for (let length = 0; length < bytes.length; length += 7) {
      await expect(decodeManifest(bytes.subarray(0, length))).rejects.toThrow(PackageError);
    }
  });

  test("any byte changed, but for names and sizes of files, which their hashes make up for", async () => {
    const unnamed = (m: Manifest) => ({
      ...m,
      shards: m.shards.map((s) => s.sha256),
      tokenizer: m.tokenizer?.sha256,
    });
    let refused = 0;
    for (let i = 0; i < bytes.length; i++) {
      const changed = bytes.slice();
      changed[i] = (changed[i] as number) ^ 0x01;
      const result = await decodeManifest(changed).catch((error: unknown) => error);
      if (result instanceof PackageError) refused++;
      else expect(unnamed(result as Manifest), `byte ${i}`).toEqual(unnamed(good));
    }
    expect(refused).toBeGreaterThan(0.9 * bytes.length);
  });
});

describe("encodings of a package's matrices", () => {
  const encodings = ["f32", "q8", "q4"] as const;
  const cases = encodings.flatMap((quantization) => encodings.map((encoding) => ({ quantization, encoding })));
  test.each(cases)("$encoding in a $quantization package", async ({ quantization, encoding }) => {
    const tensors = [tensor("scale", [33]), tensor("embed", [41, 33], encoding), tensor("out", [7, 33], "f32", 3)];
    const making = smallPackage({ quantization, tensors });
    if (encodings.indexOf(encoding) > encodings.indexOf(quantization)) {
      await expect(making).rejects.toThrow(
        `must be ${encodings.slice(0, encodings.indexOf(quantization) + 1).join(" or ")} (`,
      );
    } else {
      const manifest = await decodeManifest((await making).files.get(MANIFEST_FILE) as Uint8Array);
      expect(manifest.tensors.map((t) => t.encoding)).toEqual(["f32", encoding, "f32"]);
    }
  });

  test("all three side by side in a q4 package, whose id knows which is which", async () => {
    const made = async (a: "q8" | "q4", b: "q8" | "q4"): Promise<Manifest> => {
      const tensors = [tensor("scale", [33]), tensor("embed", [41, 33], a), tensor("out", [7, 33], b, 3)];
      return decodeManifest(
        (await smallPackage({ quantization: "q4", tensors })).files.get(MANIFEST_FILE) as Uint8Array,
      );
    };
    const [one, other] = [await made("q4", "q8"), await made("q8", "q4")];
    expect(one.tensors.map((t) => [t.encoding, t.offset, t.bytes])).toEqual([
      ["f32", 0, 132],
      ["q4", 144, 6 * 2 * 144],
      ["q8", 144 + 1728, 2 * 272],
    ]);
    expect(one.id).not.toBe(other.id);
    expect(one.family).toBe(other.family);
  });
});

describe("a good manifest", () => {
  test("comes back as it was written, infinite hyperparameters too", async () => {
    expect(await decodeManifest(await encodeManifest(good))).toEqual(good);
    expect(good.hyperparameters).toEqual({ dim: 33, eps: 1e-5, tied: true, limit: Number.POSITIVE_INFINITY });
  });

  test("may say with how many examples a model was trained: its ids stay", async () => {
    const told = { ...good, trainedExamples: 40 };
    expect(await decodeManifest(await encodeManifest(told))).toEqual(told);
    expect(good).not.toHaveProperty("trainedExamples");
    const made = (await smallPackage({ trainedExamples: 40 })).files.get(MANIFEST_FILE) as Uint8Array;
    expect(await decodeManifest(made)).toEqual(told);
  });

  test("is read where new Function is forbidden", async () => {
    const original = globalThis.Function;
    globalThis.Function = (() => {
      throw new EvalError("Code generation from strings disallowed for this context");
    }) as unknown as FunctionConstructor;
    try {
      for (let i = 0; i < 5; i++) expect(await decodeManifest(bytes)).toEqual(good);
    } finally {
      globalThis.Function = original;
    }
  });

  test("that is wrong is not written", async () => {
    await expect(encodeManifest({ ...good, name: "a/b" })).rejects.toThrow(PackageError);
  });
});
