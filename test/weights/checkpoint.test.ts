import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig } from "../../weights/checkpoint.ts";
import { CheckpointError } from "../../weights/errors.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";

const GOLDEN = "test/golden/mamba-tiny";

describe("config.json", () => {
  test.each([
    { text: '{"a": 1, "b": [true, null]}', value: { a: 1, b: [true, null] } },
    { text: '{"limit": [0.0, Infinity]}', value: { limit: [0, Number.POSITIVE_INFINITY] } },
    { text: '{"a":-Infinity,"b":NaN}', value: { a: Number.NEGATIVE_INFINITY, b: Number.NaN } },
    { text: '{"limit": {"__float__": "Infinity"}}', value: { limit: Number.POSITIVE_INFINITY } },
    { text: '{"a": "to Infinity, \\"NaN\\" Infinity"}', value: { a: 'to Infinity, "NaN" Infinity' } },
    { text: '{"Infinity": 1}', value: { Infinity: 1 } },
  ])("$text", ({ text, value }) => {
    expect(parseConfig(text, "config.json")).toEqual(value);
  });

  test("what is not JSON otherwise is refused with its place", () => {
    expect(() => parseConfig("{a: 1}", "x/config.json")).toThrow(CheckpointError);
    expect(() => parseConfig("{a: 1}", "x/config.json")).toThrow(/^x\/config.json: not JSON/);
  });
});

describe("a folder or a file", () => {
  let root: string;
  const folder = async (name: string, files: Record<string, string>): Promise<string> => {
    const path = join(root, name);
    await mkdir(path, { recursive: true });
    for (const [file, content] of Object.entries(files)) {
      if (content.startsWith("copy:")) await copyFile(join(GOLDEN, content.slice(5)), join(path, file));
      else await writeFile(join(path, file), content);
    }
    return path;
  };
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "mamba-edge-"));
  });
  afterAll(() => rm(root, { recursive: true }));

  test("model.safetensors with config.json", async () => {
    const { config, tensors, tokenizer } = await openCheckpoint(GOLDEN);
    expect(config).toMatchObject({ hidden_size: 64, model_type: "mamba" });
    expect(tensors.shape("backbone.embeddings.weight")).toEqual([304, 64]);
    expect(tokenizer).toBeUndefined();
    for (const name of tensors.names()) {
      const values = await tensors.read(name);
      expect(values.length).toBe(tensors.shape(name).reduce((product, n) => product * n, 1));
      expect(values.every(Number.isFinite)).toBe(true);
    }
  });

  test("one file beside its config.json, with a tokenizer", async () => {
    const path = await folder("file", {
      "config.json": "copy:config.json",
      "other.safetensors": "copy:model.safetensors",
      "tokenizer.json": "{}",
    });
    for (const given of [path, join(path, "other.safetensors")]) {
      const { tensors, tokenizer } = await openCheckpoint(given);
      expect(tensors.names().length).toBeGreaterThan(10);
      expect(tokenizer).toEqual(new TextEncoder().encode("{}"));
    }
  });

  describe("a chat template", () => {
    const template = "{{ bos_token }}{{ messages }}";
    const weights = { "config.json": "{}", "model.safetensors": "copy:model.safetensors" };
    const read = async (name: string, files: Record<string, string>): Promise<string | undefined> => {
      const { chatTemplate } = await openCheckpoint(await folder(name, { ...weights, ...files }));
      return chatTemplate && new TextDecoder().decode(chatTemplate);
    };
    const tokens = { bos_token: { content: "<s>" }, eos_token: "</s>" };

    test.each<[string, Record<string, string>, string | undefined]>([
      ["none", {}, undefined],
      ["none-in-config", { "tokenizer_config.json": "{}" }, undefined],
      ["a-file", { "chat_template.jinja": template }, template],
      [
        "in-config",
        { "tokenizer_config.json": JSON.stringify({ ...tokens, chat_template: template }) },
        `{%- set bos_token = "<s>" -%}\n${template}`,
      ],
      [
        "of-several",
        {
          "tokenizer_config.json": JSON.stringify({
            chat_template: [{ name: "default", template }, { name: "tools" }],
          }),
        },
        template,
      ],
      [
        "both",
        {
          "chat_template.jinja": template,
          "tokenizer_config.json": JSON.stringify({ ...tokens, chat_template: "old" }),
        },
        `{%- set bos_token = "<s>" -%}\n${template}`,
      ],
    ])("%s", async (name, files, wanted) => {
      expect(await read(`template-${name}`, files)).toBe(wanted);
    });

    test("beside a damaged tokenizer_config.json is refused", async () => {
      await expect(read("template-damaged", { "tokenizer_config.json": "{" })).rejects.toThrow(CheckpointError);
    });
  });

  test("an index with its parts", async () => {
    const path = await folder("parts", {
      "config.json": "{}",
      "part-1.safetensors": "copy:model.safetensors",
      "model.safetensors.index.json": '{"weight_map":{"backbone.norm_f.weight":"part-1.safetensors"}}',
    });
    const { tensors } = await openCheckpoint(path);
    expect(tensors.names()).toEqual(["backbone.norm_f.weight"]);
    expect((await tensors.read("backbone.norm_f.weight")).length).toBe(64);
  });

  test.each([
    { title: "nothing there", files: undefined, message: /cannot be opened.*check the path/ },
    { title: "no config.json", files: { "model.safetensors": "x" }, message: /no config.json/ },
    {
      title: "a config.json in YAML",
      files: { "config.json": "# sizes\n---\nd_model: 64\n", "model.safetensors": "x" },
      message: /config.json in .* is YAML, and only JSON is read; write there, as JSON, what it says$/,
    },
    {
      title: "a config.json that is cut",
      files: { "config.json": '{"d_model": 64,\n', "model.safetensors": "x" },
      message: /config.json: not JSON .*; download it again$/,
    },
    {
      title: "no weights",
      files: { "config.json": "{}" },
      message: /no weights in it; it must hold model.safetensors/,
    },
    {
      title: "a pytorch_model.bin that is none",
      files: { "config.json": "{}", "pytorch_model.bin": "x" },
      message: /pytorch_model.bin: no zip directory in it/,
    },
    {
      title: "two files to choose from",
      files: { "config.json": "{}", "a.safetensors": "x", "b.safetensors": "x" },
      message: /a.safetensors, b.safetensors; name one of them/,
    },
    {
      title: "a part that is missing",
      files: { "config.json": "{}", "model.safetensors.index.json": '{"weight_map":{"a":"gone.safetensors"}}' },
      message: /gone.safetensors: cannot be opened.*incomplete/,
    },
  ])("$title: a CheckpointError that says so", async ({ title, files, message }) => {
    const path = files === undefined ? join(root, "nowhere") : await folder(title, files as Record<string, string>);
    const opening = openCheckpoint(path);
    await expect(opening).rejects.toThrow(CheckpointError);
    await expect(opening).rejects.toThrow(message);
  });
});
