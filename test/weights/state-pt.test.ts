import { describe, expect, test } from "vitest";
import { unwrapTensors } from "../../weights/checkpoint.ts";
import { fileSource } from "../../weights/node/checkpoint.ts";
import { openPth } from "../../weights/pth.ts";
import { tensorsOf } from "../support/checkpoints.ts";

/* What torch.save wrote of the in-context models' training: test/golden/icl-state/make.py. */
const FOLDER = "test/golden/icl-state";
const open = async (file: string) => unwrapTensors(await openPth(await fileSource(`${FOLDER}/${file}`), file));

test("state.pt: the weights beside Adam's state and the step", async () => {
  const tensors = await open("state.pt");
  expect(tensors.names()).toContain("_backbone.layers.1.mixer.c_attn.weight");
  expect(tensors.names().every((name) => name.startsWith("_"))).toBe(true);
});

test("wrapped.pt: torch.compile's and DataParallel's prefixes are taken off", async () => {
  const [wrapped, plain] = [await open("wrapped.pt"), await open("state.pt")];
  expect(wrapped.names()).toEqual(plain.names());
  for (const name of plain.names()) expect(await wrapped.read(name)).toEqual(await plain.read(name));
});

describe("the prefixes of torch's wrappers", () => {
  const named = (...names: string[]) =>
    tensorsOf(new Map(names.map((name, i) => [name, { shape: [1], data: Float32Array.of(i) }])));

  test.each([
    [
      ["module.a", "module.b.c"],
      ["a", "b.c"],
    ],
    [
      ["_orig_mod.a", "_orig_mod.b"],
      ["a", "b"],
    ],
    [
      ["module._orig_mod.a", "module._orig_mod.b"],
      ["a", "b"],
    ],
    [
      ["_orig_mod.module.a", "_orig_mod.module.b"],
      ["a", "b"],
    ],
    [["module.module.a"], ["module.a"]],
    [
      ["module.a", "b"],
      ["module.a", "b"],
    ],
    [
      ["module._orig_mod.a", "module.b"],
      ["_orig_mod.a", "b"],
    ],
    [["a.module.b"], ["a.module.b"]],
    [[], []],
  ])("%j are %j", async (given, wanted) => {
    const tensors = unwrapTensors(named(...given));
    expect(tensors.names()).toEqual(wanted);
    for (const [i, name] of wanted.entries()) {
      expect(tensors.shape(name)).toEqual([1]);
      expect(await tensors.read(name)).toEqual(Float32Array.of(i));
    }
  });
});
