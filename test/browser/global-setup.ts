import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { buildAssets } from "../../scripts/build-assets.ts";
import { buildBrowser } from "../../scripts/build-browser.ts";
import { startDevServer } from "../../scripts/lib/dev-server.ts";
import type { Encoding } from "../../weights/layout.ts";
import { openCheckpoint } from "../../weights/node/checkpoint.ts";
import { folderSink } from "../../weights/node/folder.ts";
import { convertCheckpoint } from "../../worker/engine/convert.ts";
import { type TinySizes, tinyCheckpoint } from "../support/checkpoints.ts";
import { byteTokenizer, CHAT_TEMPLATE, chatTokenizer } from "../support/tokenizers.ts";

/** The Worker with small packages and the built client and page. */
export interface Site {
  readonly url: string;
  /** ids of the packages. */
  readonly story: string;
  readonly chat: string;
  /** of several shards. */
  readonly large: string;
  /** of one layer, in f32: few kernels. */
  readonly small: string;
  /** an image model that is fed 48 × 64 of the middle. */
  readonly seeing: string;
}

declare module "vitest" {
  interface ProvidedContext {
    site: Site;
  }
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What the browser project runs once around its tests. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [models, assets] = [join(root, "dist/browser-test-models"), join(root, "dist/browser-test-assets")];
  for (const folder of [models, assets]) await rm(folder, { recursive: true, force: true });
  const add = async (name: string, quantization: Encoding, checkpoint: Parameters<typeof convertCheckpoint>[0]) =>
    (await convertCheckpoint(checkpoint, { name, quantization }, await folderSink(join(models, name)))).id;
  // Heads of their own: with tied ones a random model repeats itself.
  const sizes: Partial<TinySizes> = { dim: 64, layers: 3, dtRank: 4, vocab: 257, tied: false, seed: 7 };
  const tokenizer = byteTokenizer();
  const chatTemplate = new TextEncoder().encode(CHAT_TEMPLATE);
  const story = await add("a-story", "q8", { ...tinyCheckpoint(sizes), tokenizer });
  const chatting = tinyCheckpoint({ ...sizes, vocab: 261, seed: 9 });
  const chat = await add("b-chat", "f32", { ...chatting, tokenizer: chatTokenizer(), chatTemplate });
  const wide = tinyCheckpoint({ ...sizes, dim: 256, layers: 9, dtRank: 16 });
  const large = await add("c-large", "f32", { ...wide, tokenizer });
  const small = await add("d-small", "f32", {
    ...tinyCheckpoint({ ...sizes, dim: 32, layers: 1, dtRank: 2 }),
    tokenizer,
  });
  for (const [name, trained] of [
    ["icl-gpt2", {}],
    ["icl-mamba", { trained_examples: 5 }],
  ] as const) {
    const golden = await openCheckpoint(join(root, "test/golden", name));
    await add(`${name}-linear`, "f32", { ...golden, config: { ...(golden.config as object), ...trained } });
  }
  const seeing = await add("vmamba", "f32", {
    ...(await openCheckpoint(join(root, "test/golden/vmamba-v2-tiny"))),
    preprocessor: { size: { shortest_edge: 72 }, crop_size: { height: 48, width: 64 } },
  });
  await buildAssets(models, assets);
  await buildBrowser(assets);
  const config = join(root, "dist/browser-test.toml");
  await writeFile(config, testConfig(await readFile(join(root, "wrangler.toml"), "utf8")));
  const server = await startDevServer({ config, vars: { LOG_LEVEL: "error" } });
  project.provide("site", { url: server.url, story, chat, large, small, seeing });
  return async () => server[Symbol.asyncDispose]();
}

/** The Worker as deployed, of the browser tests' assets, which are built already. The file lies in dist. */
function testConfig(deployed: string): string {
  return deployed
    .replace(/^\[build\]\ncommand = .*$/m, "")
    .replace(/^main = "/m, 'main = "../')
    .replace(/^directory = .*$/m, 'directory = "./browser-test-assets"');
}
