import { beforeAll, describe, expect, test } from "vitest";
import { decodeManifest } from "../../weights/codec.ts";
import { canonical, packageId } from "../../weights/ids.ts";
import { MANIFEST_FILE, type Manifest } from "../../weights/manifest.ts";
import { smallPackage, tensor } from "./fixtures.ts";

let good: Manifest;

beforeAll(async () => {
  good = await manifestOf({});
});

async function manifestOf(changes: Parameters<typeof smallPackage>[0]): Promise<Manifest> {
  return await decodeManifest((await smallPackage(changes)).files.get(MANIFEST_FILE) as Uint8Array);
}

describe("ids", () => {
  test.each([
    { change: "nothing", changes: {}, id: false, family: false },
    { change: "card and licence", changes: { card: "# Small", license: "MIT" }, id: false, family: false },
    { change: "name", changes: { name: "tiny" }, id: true, family: false },
    { change: "architecture", changes: { architecture: "other" }, id: true, family: true },
    { change: "hyperparameters", changes: { hyperparameters: { dim: 33 } }, id: true, family: true },
    {
      change: "quantization asked for",
      changes: { quantization: "q8" as const, tensors: small("f32", "f32") },
      id: true,
      family: false,
    },
    {
      change: "quantization",
      changes: { quantization: "f32" as const, tensors: small("f32", "f32") },
      id: true,
      family: false,
    },
    { change: "a value", changes: { tensors: small("q8", "f32", 9) }, id: true, family: true },
    { change: "order of tensors", changes: { tensors: small("q8", "f32").reverse() }, id: true, family: false },
    { change: "size of shards", changes: { shardBytes: 512 }, id: true, family: false },
    { change: "tokenizer", changes: { tokenizer: Uint8Array.of(1) }, id: true, family: true },
    { change: "a chat template", changes: { chatTemplate: Uint8Array.of(1) }, id: true, family: false },
    { change: "no tokenizer", changes: { tokenizer: undefined }, id: true, family: true },
  ])("$change: id changes $id, family changes $family", async ({ changes, id, family }) => {
    const changed = await manifestOf(changes);
    expect(changed.id !== good.id).toBe(id);
    expect(changed.family !== good.family).toBe(family);
    expect(changed.id).toMatch(new RegExp(`^${changed.name}@[0-9a-f]{12}$`));
  });

  test("a value that quantization rounds away changes the family, not the id", async () => {
    const tensors = small("q8", "f32");
    const embed = tensors[1] as { data: Float32Array };
    embed.data[1] = (embed.data[1] as number) * (1 + 1e-6);
    const changed = await manifestOf({ tensors });
    expect(changed.id).toBe(good.id);
    expect(changed.family).not.toBe(good.family);
  });

  test("the same f32 tensors, asked for as q8 and as f32, are two packages of one family", async () => {
    const asked = await manifestOf({ quantization: "q8", tensors: small("f32", "f32") });
    const plain = await manifestOf({ quantization: "f32", tensors: small("f32", "f32") });
    expect(asked.id).not.toBe(plain.id);
    expect(asked.family).toBe(plain.family);
  });

  test("each layout has ids of its own", async () => {
    expect(await packageId({ ...good, layout: 2 })).not.toBe(good.id);
  });

  function small(embed: "f32" | "q8", out: "f32" | "q8", seed = 1) {
    return [tensor("scale", [33], "f32", seed), tensor("embed", [41, 33], embed, 2), tensor("out", [7, 33], out, 3)];
  }
});

test("the canonical form sorts keys, keeps lists, and tells numbers from texts", () => {
  expect(canonical({ b: [2, 1], a: { d: null, c: "x\n" } })).toBe('{"a":{"c":"x\\n","d":null},"b":[2,1]}');
  expect(canonical([Number.POSITIVE_INFINITY, "Infinity", 1e-5, true])).toBe('[Infinity,"Infinity",0.00001,true]');
});
