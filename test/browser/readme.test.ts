import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { KNOWN } from "../../worker/browser/client/options.ts";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const readme = await readFile(new URL("../../worker/browser/README.md", import.meta.url), "utf8");
const examples = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code!.trim().split("\n"));

/** The address of a model of this project's, on a server of files. */
async function serveModels(name: string): Promise<string> {
  const server = createServer(async ({ url = "" }, response) => {
    const bytes = await readFile(new URL(`../../weights/models${url}`, import.meta.url)).catch(() => undefined);
    response.writeHead(bytes === undefined ? 404 : 200, { "access-control-allow-origin": "*" }).end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`;
}

/** Runs an example's lines behind the import. @returns what it printed */
async function run([imported, ...lines]: string[], url: string, before = ""): Promise<string[]> {
  expect(imported).toContain("import { load");
  const code = lines.join("\n").replace(/"https:[^"]*\/weights\/[^"]*"/, JSON.stringify(url));
  const page = await blankPage(browser.current);
  const printed: string[] = [];
  page.on("console", (message) => printed.push(message.text()));
  await page.evaluate(`(async () => {\n${before}\n${code}\n})()`);
  return printed;
}

test("the README's example runs", async () => {
  const printed = await run(examples[0]!, packageUrl(site.story));
  expect(printed.some((line) => line.startsWith("download "))).toBe(true);
  expect(printed.some((line) => line.startsWith("wasm WebGPU would compute on the CPU"))).toBe(true);
  expect(printed.length).toBeGreaterThan(10);
});

test("the README's example of JSON runs", async () => {
  const [printed] = await run(examples[1]!, packageUrl(site.story));
  expect(printed).toMatch(/^(fox|hen) \{"animal":\s?"\1",\s?"age":\s?\d+\}$/);
  expect(examples).toHaveLength(4);
});

test("the README's example of a model that learns in its context runs, and answers what it says", async () => {
  const [said] = await run(examples[2]!, await serveModels("icl-sparse-parity-mamba"));
  const [, answer] = /^(-0\.\d+) 3 \d+$/.exec(said!)!;
  expect(examples[2]!.join("\n")).toContain(`// ${Number(answer).toFixed(2).replace("-", "−")}: `);
});

test("the README's example of an image model runs", async () => {
  const photo = "const photo = await new OffscreenCanvas(90, 60).getContext('2d').canvas.convertToBlob();";
  const printed = await run(examples[3]!, packageUrl(site.seeing), photo);
  expect(printed).toEqual([expect.stringMatching(/^\d 0\.\d+ .* 192 /)]);
});

test("the README's tables have every option of the client's functions, in the types' order", () => {
  const tables = readme.matchAll(/^\| option of (.+?) \| default \| \|\n\|[-|]+\|\n((?:\|.*\n)+)/gm);
  const listed = [...tables].flatMap(([, calls, rows]) => {
    const options = rows!.trimEnd().split("\n");
    const names = options.map((row) => /^\| `(\w+)` \| [^|]+ \| [^|]+ \|$/.exec(row)![1]);
    return [...calls!.matchAll(/`(\w+)`/g)].map(([, call]) => [call, names]);
  });
  const known = Object.entries(KNOWN).map(([call, options]) => [call, Object.keys(options)]);
  expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(known));
});
