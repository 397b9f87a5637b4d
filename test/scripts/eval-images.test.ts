import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { nodeImageDecoder } from "../../scripts/lib/images/decode.ts";
import { evaluate } from "../../scripts/lib/images/evaluate.ts";
import { readNpz } from "../../scripts/lib/images/npz.ts";
import { openPhotographs } from "../../scripts/lib/images/photographs.ts";
import { openModel } from "../../scripts/lib/open-model.ts";
import { npz } from "../support/numpy.ts";

const MODEL = "test/golden/vmamba-v2-tiny";
const work = mkdtempSync(join(tmpdir(), "mamba-edge-images-"));
afterAll(() => rmSync(work, { recursive: true }));

const files = ["lossy.webp", "lossless.webp", "orientation-6.webp"].map((f) => readFileSync(`test/golden/images/${f}`));
const labels = [3, 0, 9];

function photographs(changes: { classes?: string[]; index?: (idx: Buffer) => void } = {}): string {
  const folder = mkdtempSync(join(work, "photographs-"));
  const idx = Buffer.alloc(8 * files.length);
  let at = 0;
  for (const [i, file] of files.entries()) {
    idx.writeUInt32LE(at, 8 * i);
    idx.writeUInt16LE(file.length, 8 * i + 4);
    idx.writeUInt16LE(labels[i]!, 8 * i + 6);
    at += file.length;
  }
  changes.index?.(idx);
  writeFileSync(join(folder, "tiny_val.idx"), idx);
  writeFileSync(join(folder, "tiny_val.webppack"), Buffer.concat(files));
  if (changes.classes) writeFileSync(join(folder, "classes.json"), JSON.stringify(changes.classes));
  return folder;
}

/** What the reference computes, as the training would write it. */
async function expected(): Promise<Float32Array> {
  const model = await openModel(MODEL, { backend: "reference" });
  const { evaluations } = await evaluate([model], openPhotographs(photographs(), "val"), nodeImageDecoder(), () => {});
  return evaluations[0]!.logits;
}

function predictions(logits: Float32Array, said = labels): string {
  const file = join(mkdtempSync(join(work, "predictions-")), "predictions.npz");
  const arrays = { logits: { shape: [3, 10], data: logits }, labels: { shape: [3], data: Uint8Array.from(said) } };
  writeFileSync(file, npz(arrays));
  return file;
}

function run(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["scripts/eval-images.ts", ...args]);
    const out = { stdout: "", stderr: "" };
    child.stdout.on("data", (d: Buffer) => {
      out.stdout += d;
    });
    child.stderr.on("data", (d: Buffer) => {
      out.stderr += d;
    });
    child.on("close", (code) => resolve({ code, ...out }));
  });
}

describe("eval:images", () => {
  const logits = expected();

  test("counts what each quantization of a checkpoint says, beside the training's predictions", async () => {
    const file = predictions(await logits);
    const { code, stdout, stderr } = await run([MODEL, "--images", photographs(), "--predictions", file, "--json"]);
    expect([code, stderr]).toEqual([0, ""]);
    const { models, ...rest } = JSON.parse(stdout);
    const values = await logits;
    const said = labels.map((_, i) => {
      const own = values.subarray(10 * i, 10 * i + 10);
      return own.indexOf(Math.max(...own));
    });
    const top1 = said.filter((class_, i) => class_ === labels[i]).length / 3;
    expect(rest).toMatchObject({ photographs: "tiny_val", images: 3, pytorch_top1: top1 });
    expect(models).toMatchObject([
      { weights: "f32", top1, against_pytorch: { agreement: 1 }, against_f32: null },
      { weights: "q8", against_f32: { agreement: expect.any(Number) } },
    ]);
    expect(models[0].against_pytorch.worst_logits).toBeLessThan(1e-5);
    expect(models[1].against_f32.worst_logits).toBeGreaterThan(1e-4);
  });

  test("exits with 1 and says so where f32 does not say what PyTorch said", async () => {
    const file = predictions((await logits).map((v, i) => (i < 10 ? -v : v)));
    const { code, stdout, stderr } = await run([MODEL, "--images", photographs(), "--predictions", file]);
    expect([code, stdout]).toEqual([1, expect.stringMatching(/\| f32 \| .* \| 66\.67 \|/)]);
    expect(stderr).toMatch(/same class as PyTorch in f32 of 66\.67 % of the pictures, it must be 99\.5 %/);
  });

  test("--limit takes the first", async () => {
    const { stdout } = await run([MODEL, "--images", photographs(), "--limit", "2", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ images: 2, pytorch_top1: null });
  });

  const bad: [string, () => Promise<string[]>, RegExp][] = [
    ["no photographs", async () => [], /--images is missing/],
    ["a folder without them", async () => ["--images", work], /must hold one NAME_val\.webppack .* it holds none/],
    ["another split", async () => ["--images", photographs(), "--split", "train"], /NAME_train\.webppack/],
    [
      "an index beyond the pack",
      async () => ["--images", photographs({ index: (idx) => idx.writeUInt32LE(1e6, 8) })],
      /picture 1 lies at bytes 1000000\.\./,
    ],
    [
      "a label beyond the classes",
      async () => ["--images", photographs({ index: (idx) => idx.writeUInt16LE(10, 6) })],
      /picture 0 of tiny_val has label 10, the model 10 classes/,
    ],
    [
      "predictions of other pictures",
      async () => ["--images", photographs(), "--predictions", predictions(await logits, [3, 1, 9])],
      /says label 1 of picture 1, tiny_val says 0/,
    ],
    [
      "predictions that are none",
      async () => ["--images", photographs(), "--predictions", "test/golden/npz/doubles.npz"],
      /array of type <f8/,
    ],
    [
      "a picture that is damaged",
      async () => ["--images", photographs({ index: (idx) => idx.writeUInt16LE(200, 4) })],
      /picture 0 of tiny_val: .*cut off/,
    ],
  ];
  test.each(bad)("%s ends with a message", async (_, args, message) => {
    const { code, stdout, stderr } = await run([MODEL, ...(await args())]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test("a language model is refused", async () => {
    const { code, stderr } = await run(["weights/models/fable-31m", "--images", photographs()]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/fable-31m@\w+ is not fed images/)]);
  });
});

// Written by NumPy: np.savez("arrays.npz", logits=np.arange(6, dtype="f4").reshape(3, 2) / 4, labels=np.array([1, 0, 200], dtype="u1")),
// np.savez("doubles.npz", logits=np.arange(6.0)), np.savez_compressed("compressed.npz", labels=np.zeros(9, dtype="u1")).
describe("files of NumPy", () => {
  const golden = (name: string): string => `test/golden/npz/${name}.npz`;

  test("are read as it wrote them", async () => {
    const arrays = await readNpz(golden("arrays"));
    expect(arrays.get("logits")).toEqual({ shape: [3, 2], data: Float32Array.of(0, 0.25, 0.5, 0.75, 1, 1.25) });
    expect(arrays.get("labels")).toEqual({ shape: [3], data: Uint8Array.of(1, 0, 200) });
  });

  test.each([
    [golden("compressed"), /labels\.npy is compressed .* numpy\.savez compresses nothing/],
    [golden("doubles"), /logits\.npy is an array of type <f8/],
    ["test/golden/images/rgb.png", /or not from numpy\.savez|no zip directory/],
    ["nowhere.npz", /cannot read nowhere\.npz/],
  ])("%s is refused", async (file, message) => {
    await expect(readNpz(file)).rejects.toThrow(message);
  });
});
