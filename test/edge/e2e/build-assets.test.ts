import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildAssets } from "../../../scripts/build-assets.ts";
import { folderSink } from "../../../weights/node/folder.ts";
import { convertCheckpoint } from "../../../worker/engine/convert.ts";
import { tinyCheckpoint } from "../../support/checkpoints.ts";
import { byteTokenizer } from "../../support/tokenizers.ts";

const run = promisify(execFile);
let folder = "";
let models = "";
let out = "";

async function add(name: string, seed: number): Promise<string> {
  const checkpoint = { ...tinyCheckpoint({ seed }), tokenizer: byteTokenizer() };
  return (await convertCheckpoint(checkpoint, { name, quantization: "f32" }, await folderSink(join(models, name)))).id;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mamba-edge-assets-"));
  models = join(folder, "models");
  out = join(folder, "assets");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("an absent folder of models gives an empty index", async () => {
  expect(await buildAssets(models, out)).toEqual([]);
  expect(JSON.parse(await readFile(join(out, "weights/index.json"), "utf8"))).toEqual([]);
});

test("packages are linked under their ids; stale ones and stray files go, other assets stay; twice is the same", async () => {
  const [a, b] = [await add("a", 1), await add("b", 2)];
  await writeFile(join(models, "README.md"), "not a package");
  await buildAssets(models, out);
  await writeFile(join(out, "client.js"), "");
  await writeFile(join(out, "weights", a, "stray.bin"), "");
  for (let i = 0; i < 2; i++) {
    const index = await buildAssets(models, out);
    expect(index.map((e) => e.id)).toEqual([a, b]);
    expect(JSON.parse(await readFile(join(out, "weights/index.json"), "utf8"))).toEqual(index);
    expect((await readdir(join(out, "weights"))).sort()).toEqual([a, b, "index.json"]);
    expect((await readdir(join(out, "weights", a))).sort()).toEqual([
      "manifest.msgpack",
      "shard-000.bin",
      "tokenizer.json",
    ]);
  }
  const [from, to] = [join(models, "a/shard-000.bin"), join(out, "weights", a, "shard-000.bin")];
  expect((await stat(to)).ino).toBe((await stat(from)).ino);
  await rm(join(models, "b"), { recursive: true });
  expect((await buildAssets(models, out)).map((e) => e.id)).toEqual([a]);
  expect(existsSync(join(out, "weights", b))).toBe(false);
  expect(existsSync(join(out, "client.js"))).toBe(true);
});

test("only the packages that are named are put there, by name or id; a name that is none's is an error, and nothing changes", async () => {
  const [d, e] = [await add("d", 4), await add("e", 5)];
  for (const [only, ids] of [
    [["d"], [d]],
    [[e], [e]],
    [
      ["e", d],
      [d, e],
    ],
  ] as const) {
    expect((await buildAssets(models, out, only)).map(({ id }) => id)).toEqual(ids);
  }
  for (const only of [["d", "f"], []]) {
    await expect(buildAssets(models, out, only)).rejects.toThrow(/there is no package .* there are a, d, e/);
  }
  expect((await readdir(join(out, "weights"))).sort()).toEqual([d, e, "index.json"]);
  const command = async (args: string[], env: Record<string, string>): Promise<string[]> => {
    await run(process.execPath, ["scripts/build-assets.ts", "--models", models, "--out", out, ...args], {
      env: { ...process.env, ...env },
    });
    return (await readdir(join(out, "weights"))).filter((name) => name.includes("@")).sort();
  };
  expect(await command([], { ONLY_MODELS: " d, " })).toEqual([d]);
  expect(await command(["--only", "e"], { ONLY_MODELS: "d" })).toEqual([e]);
  expect(await command([], { ONLY_MODELS: "" })).toHaveLength(3);
  for (const name of ["d", "e"]) await rm(join(models, name), { recursive: true });
});

test("a package whose shard is cut or gone is refused with both numbers", async () => {
  await add("c", 3);
  const shard = join(models, "c/shard-000.bin");
  const { size } = await stat(shard);
  await truncate(shard, size - 1);
  await expect(buildAssets(models, out)).rejects.toThrow(
    new RegExp(`has ${size - 1} bytes, the manifest says ${size}`),
  );
  await rm(shard);
  await expect(buildAssets(models, out)).rejects.toThrow(/shard-000\.bin is missing/);
  await rm(join(models, "c"), { recursive: true });
});

test("the command prints nothing, help on --help, and fails with a message", async () => {
  const command = (...args: string[]) => run(process.execPath, ["scripts/build-assets.ts", ...args]);
  expect(await command("--models", models, "--out", out)).toEqual({ stdout: "", stderr: "" });
  const twin = { ...tinyCheckpoint({ seed: 9 }), tokenizer: byteTokenizer() };
  const sink = await folderSink(join(models, "z"));
  const { id } = await convertCheckpoint(twin, { name: "a", quantization: "f32" }, sink);
  expect(await command("--models", models, "--out", out)).toEqual({
    stdout: "",
    stderr: expect.stringMatching(
      new RegExp(`^warning: 2 packages are named "a": requests for "a" get a@.*, ${id} only by this id; .*--name\n$`),
    ),
  });
  await rm(join(models, "z"), { recursive: true });
  expect((await command("--help")).stdout).toMatch(/^Usage: /);
  await expect(command("--nothing")).rejects.toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/^error: /),
  });
});
