import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { build } from "vite";
import { expect, onTestFinished, test } from "vitest";
import { packageUrl, site, useBrowser } from "./visit.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const browser = useBrowser();

test("npm pack gives the client: a fresh project type-checks with it, bundles it and runs it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mamba-edge-project-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: root });
  const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf("["))) as [{ filename: string }];
  const files = untar(gunzipSync(await readFile(join(folder, filename))));
  expect([...files.keys()].sort()).toEqual(
    [
      "LICENSE",
      "README.md",
      "dist/assets/client.d.ts",
      "dist/assets/client.js",
      "dist/assets/client.notices.txt",
      "package.json",
      "worker/browser/README.md",
    ].sort(),
  );
  // All that it needs is in it: who installs it gets nothing else.
  const packed = JSON.parse(new TextDecoder().decode(files.get("package.json")));
  expect([packed.dependencies, packed.optionalDependencies, packed.peerDependencies]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  const notices = new TextDecoder().decode(files.get("dist/assets/client.notices.txt"));
  expect(notices.match(/^\S+ [\d.]+ \([\w.-]+\)$/gm)).toEqual([
    expect.stringMatching(/^@huggingface\/jinja .* \(MIT\)$/),
    expect.stringMatching(/^@huggingface\/tokenizers .* \(Apache-2.0\)$/),
    expect.stringMatching(/^msgpackr .* \(MIT\)$/),
  ]);
  for (const [name, bytes] of files) {
    const path = join(folder, "node_modules/mamba-edge", name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  }
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  await writeFile(
    join(folder, "main.ts"),
    `import { type BrowserModel, loadModel } from "mamba-edge/client";
const model: BrowserModel = await loadModel(location.hash.slice(1), { backend: "wasm" });
const { text } = await model.generate("Once upon a time", { seed: 11, maxTokens: 20 }).result;
document.title = String(text.length > 0);
`,
  );
  await writeFile(join(folder, "index.html"), '<script type="module" src="./main.ts"></script>');
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const flags = ["--noEmit", "--strict", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2024"];
  await run(process.execPath, [tsc, ...flags, "--lib", "es2024,dom", "--types", "", "main.ts"], { cwd: folder });
  await build({ root: folder, configFile: false, logLevel: "error", build: { outDir: "out", target: "es2024" } });

  const inNode = `import { loadModel } from "mamba-edge/client"; loadModel("http://localhost/weights/x").catch((e) => console.log(e.name + ": " + e.message));`;
  const { stdout: refused } = await run(process.execPath, ["--input-type=module", "-e", inNode], { cwd: folder });
  expect(refused).toMatch(/^BackendError: models run in a Web Worker, which is missing here: call this in a browser/);

  const page = await (await browser.current.newContext()).newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  // Another origin than the package's.
  await page.goto(`${await serve(join(folder, "out"))}/#${packageUrl(site.story)}`);
  await expect.poll(async () => [...errors, await page.title()], { timeout: 60_000 }).toEqual(["true"]);
});

/** @returns the origin of a server of a folder's files */
async function serve(folder: string): Promise<string> {
  const types: Record<string, string> = { html: "text/html", js: "text/javascript" };
  const server = createServer(async ({ url = "/" }, response) => {
    const path = url === "/" ? "/index.html" : url;
    const bytes = await readFile(join(folder, path)).catch(() => undefined);
    response.writeHead(bytes === undefined ? 404 : 200, { "content-type": types[path.split(".").at(-1)!] ?? "" });
    response.end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Files of a tar as npm writes it, without their first folder. */
function untar(tar: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (from: number, length: number): string =>
    new TextDecoder().decode(tar.subarray(from, from + length)).replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    const [name, prefix] = [text(at, 100), text(at + 345, 155)];
    const path = prefix === "" ? name : `${prefix}/${name}`;
    files.set(path.replace(/^package\//, ""), tar.slice(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
