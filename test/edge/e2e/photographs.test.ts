import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildAssets } from "../../../scripts/build-assets.ts";
import { type DevServer, startDevServer } from "../../../scripts/lib/dev-server.ts";
import { nodeImageDecoder } from "../../../scripts/lib/images/decode.ts";
import { openModel } from "../../../scripts/lib/open-model.ts";
import type { ClassificationReply } from "../../../worker/edge/schemas/images.ts";
import { prepare } from "../../../worker/engine/image/prepare.ts";
import { classify } from "../../../worker/engine/images.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const MODEL = "imagenette-vmamba-6m";
const PACKAGE = join(root, "weights/models", MODEL);
const photographs = join(root, "test/golden/photographs");

/** "gas-pump-3.jpg" is a gas pump. */
const files = readdirSync(photographs)
  .filter((file) => file.endsWith(".jpg"))
  .map((name) => ({
    name,
    label: name.replace(/-\d\.jpg$/, ""),
    bytes: Uint8Array.from(readFileSync(join(photographs, name))),
  }));
const slug = (label: string): string => label.toLowerCase().replaceAll(" ", "-");

describe("the built-in image model, over HTTP", () => {
  let server: DevServer;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mamba-edge-photographs-"));
    await symlink(PACKAGE, join(folder, "package"));
    const assets = join(folder, "assets");
    await buildAssets(folder, assets);
    const config = join(folder, "wrangler.toml");
    const text = readFileSync(join(root, "wrangler.toml"), "utf8");
    const edited = text
      .replace(/^main = "/m, `main = "${root}`)
      .replace(/^directory = .*$/m, `directory = ${JSON.stringify(assets)}`)
      .replace(/^command = .*$/m, "");
    await writeFile(config, edited);
    server = await startDevServer({ config });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function post(body: BodyInit, query: string): Promise<ClassificationReply> {
    const response = await fetch(`${server.url}/v1/images/classifications?${query}`, { method: "POST", body });
    const reply = await response.json();
    expect({ status: response.status, reply }).toMatchObject({ status: 200 });
    return reply as ClassificationReply;
  }

  test("says of 40 photographs what the engine says of them, and what they show of most", async () => {
    const model = await openModel(PACKAGE, { backend: "wasm" });
    const spec = model.manifest.image!;
    const decode = nodeImageDecoder();
    let right = 0;
    for (const { name, label, bytes } of files) {
      const { data, model: id } = await post(bytes, `model=${MODEL}&top_k=10`);
      expect(id).toBe(model.manifest.id);
      const { classes } = data[0]!;
      if (slug(classes[0]!.label) === label) right += 1;
      const pixels = { shape: [1, 3, spec.height, spec.width] as const, data: prepare(await decode(bytes), spec) };
      const { logits } = await classify(model, pixels);
      const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
      for (const { index, score } of classes)
        expect([name, index, score]).toEqual([name, index, expect.closeTo(Math.exp(logits[index]!) / total, 5)]);
    }
    expect(files).toHaveLength(40);
    expect(right).toBeGreaterThanOrEqual(34);
  });

  test("says the same of eight in a form", async () => {
    const eight = files.filter((_, i) => i % 5 === 0);
    const form = new FormData();
    form.set("model", MODEL);
    for (const { bytes, name } of eight) form.append("image", new File([bytes], name, { type: "image/jpeg" }));
    const together = await post(form, "");
    for (const [i, { bytes }] of eight.entries()) {
      const alone = await post(bytes, `model=${MODEL}`);
      expect(together.data[i]).toEqual({ ...alone.data[0], index: i });
    }
  });
});
