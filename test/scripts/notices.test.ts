import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "vite";
import { expect, onTestFinished, test } from "vitest";
import { noticesBeside } from "../../scripts/lib/notices.ts";

const manifest = (name: string, more: object = { license: "MIT" }): string =>
  JSON.stringify({ name, version: "1.2.3", type: "module", main: "index.js", sideEffects: false, ...more });

/** A page whose Web Worker uses one package, with others beside it. */
const PROJECT = {
  "index.ts":
    'import W from "./worker.ts?worker&inline"; import { plain } from "plain"; export const w = [new W(), plain];',
  "worker.ts": 'import { used } from "@scope/used"; import { shaken } from "shaken"; postMessage(used);',
  "node_modules/plain/package.json": manifest("plain"),
  "node_modules/plain/index.js": "export const plain = [2];",
  "node_modules/plain/licence.md": "Plain words.\n",
  "node_modules/@scope/used/package.json": manifest("@scope/used", { license: "Apache-2.0", main: "esm/index.js" }),
  "node_modules/@scope/used/esm/package.json": '{"type":"module"}',
  "node_modules/@scope/used/esm/index.js": "export const used = [1];",
  "node_modules/@scope/used/LICENSE": "  The licence, as it stands.\n",
  "node_modules/@scope/used/NOTICE": "Copyright somebody\n",
  "node_modules/shaken/package.json": manifest("shaken"),
  "node_modules/shaken/index.js": "export const shaken = [3];",
  "node_modules/absent/package.json": manifest("absent"),
};

/** @returns what is written beside the bundle */
async function noticesOf(files: Record<string, string | undefined>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "mamba-edge-notices-"));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  for (const [file, text] of Object.entries(files)) {
    if (text === undefined) continue;
    await mkdir(dirname(join(root, file)), { recursive: true });
    await writeFile(join(root, file), text);
  }
  const notices = noticesBeside("a.js");
  await build({
    root,
    configFile: false,
    logLevel: "silent",
    plugins: [notices],
    worker: { format: "es", plugins: () => [notices] },
    build: { outDir: "out", lib: { entry: "index.ts", formats: ["es"], fileName: () => "a.js" } },
  });
  return readFile(join(root, "out/a.notices.txt"), "utf8");
}

test("the packages in a bundle and in its Web Worker are named, with all that their licences say; no others", async () => {
  const rule = "=".repeat(80);
  expect(await noticesOf(PROJECT)).toBe(`a.js contains these packages, under their licences.

${rule}
@scope/used 1.2.3 (Apache-2.0)
${rule}

  The licence, as it stands.

Copyright somebody

${rule}
plain 1.2.3 (MIT)
${rule}

Plain words.
`);
});

test.each([
  {
    without: "its licence's text",
    change: { "node_modules/plain/licence.md": undefined },
    message: /plain 1\.2\.3 is bundled and has no file with its licence: bundle another version/,
  },
  {
    without: "its licence's name",
    change: { "node_modules/plain/package.json": manifest("plain", {}) },
    message: /plain 1\.2\.3 is bundled and has no "license" in its package\.json: /,
  },
])("a package without $without is not bundled", async ({ change, message }) => {
  await expect(noticesOf({ ...PROJECT, ...change })).rejects.toThrow(message);
});
