import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CheckpointError } from "../../weights/errors.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";

const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 516567560\n`;
const GGUF = "GGUF\x03\0\0\0";
const CONFIG = { "config.json": "{}" };

let root = "";
const folder = async (files: Readonly<Record<string, string | Uint8Array>>): Promise<string> => {
  const path = await mkdtemp(join(root, "checkpoint-"));
  for (const [file, content] of Object.entries(files)) await writeFile(join(path, file), content);
  return path;
};
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "mamba-edge-other-"));
});
afterAll(() => rm(root, { recursive: true }));

const refused = async (path: string, message: RegExp): Promise<void> => {
  const opening = openCheckpoint(path);
  await expect(opening).rejects.toThrow(CheckpointError);
  await expect(opening).rejects.toThrow(message);
};

describe("a git-lfs pointer is told, with what brings the file, in place of", () => {
  const rows: [file: string, beside: Record<string, string>][] = [
    ["config.json", {}],
    ["model.safetensors", CONFIG],
    ["pytorch_model.bin", CONFIG],
    ["part-1.safetensors", { ...CONFIG, "model.safetensors.index.json": '{"weight_map":{"a":"part-1.safetensors"}}' }],
    ["model.safetensors.index.json", CONFIG],
  ];
  test.each(rows)("%s", async (file, beside) => {
    await refused(
      await folder({ ...beside, [file]: POINTER }),
      new RegExp(`${file}: a git-lfs pointer.*run \`git lfs pull\``),
    );
  });

  test.each(["tokenizer.json", "tokenizer_config.json"])("%s", async (file) => {
    const weights = await readFile("test/golden/mamba-tiny/model.safetensors");
    const whole = { ...CONFIG, "model.safetensors": weights };
    expect((await openCheckpoint(await folder(whole))).tensors.names().length).toBeGreaterThan(10);
    await refused(await folder({ ...whole, [file]: POINTER }), new RegExp(`${file}: a git-lfs pointer`));
  });
});

describe("GGUF is told, with what to give instead", () => {
  const message = /\.gguf: GGUF is not read, .*give the checkpoint that it was made from/;
  test("as a file, whatever lies beside it", async () => {
    await refused(join(await folder({ "m.gguf": GGUF }), "m.gguf"), message);
    await refused(join(await folder({ ...CONFIG, "m.gguf": GGUF }), "m.gguf"), message);
  });
  test("as a folder, with config.json and without", async () => {
    await refused(await folder({ "README.md": "", "m.gguf": GGUF }), message);
    await refused(await folder({ ...CONFIG, "m.gguf": GGUF }), message);
  });
  test("by its bytes, under another name", async () => {
    await refused(await folder({ ...CONFIG, "model.safetensors": GGUF }), /model\.safetensors: GGUF is not read/);
  });
});

test("a path that looks like a model's name on the hub comes with the command that downloads it, others do not", async () => {
  const command =
    /`hf download state-spaces\/mamba-130m-hf --local-dir checkpoints\/mamba-130m-hf`, and give checkpoints\/mamba-130m-hf/;
  await refused("state-spaces/mamba-130m-hf", command);
  for (const path of ["./state-spaces/mamba-130m-hf", join(root, "nowhere"), "nowhere"]) {
    await refused(path, /cannot be opened \(ENOENT[^)]*\); check the path$/);
  }
});
