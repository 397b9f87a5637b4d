import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildAssets } from "../../../scripts/build-assets.ts";
import { type DevServer, startDevServer } from "../../../scripts/lib/dev-server.ts";
import { readPythonExample } from "./python-example.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const ADDRESS = "localhost:8787";
const READMES = ["README.md", "worker/edge/routes/README.md", "worker/edge/responses/README.md"];

interface Block {
  readonly file: string;
  readonly language: "ts" | "sh" | "python";
  readonly code: string;
}

async function blocksOf(file: string): Promise<Block[]> {
  const text = await readFile(join(root, file), "utf8");
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, code]) => ({
    file,
    language: language as Block["language"],
    code: code!,
  }));
}

/** Names of the models that this tree builds. */
const served = new Set(
  (await buildAssets(join(root, "weights/models"), join(root, "dist/assets"))).map(({ name }) => name),
);

/** The model that a call names, where it is none of them: one that has to be brought. */
function brought(code: string): string | undefined {
  const [, model] = /"model":"([^"]+)"/.exec(code) ?? [];
  return model !== undefined && !served.has(model) ? model : undefined;
}

/** The blocks that call a running Worker. */
const calls = (await Promise.all(READMES.map(blocksOf))).flat().filter(({ code }) => code.includes(ADDRESS));
const blocks = calls.filter(({ code }) => brought(code) === undefined);

/** In the project's tree, where packages are found; not in git. */
let folder = "";
let server: DevServer;
beforeAll(async () => {
  server = await startDevServer();
  folder = await mkdtemp(join(root, "dist/readme-"));
  await symlink(join(root, "test"), join(folder, "test")); // the examples' pictures
}, 180_000);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  if (folder !== "") await rm(folder, { recursive: true, force: true });
});

describe("what the READMEs show works as it stands there", () => {
  test("they show calls with curl and with the client in both of its languages", () => {
    expect(new Set(blocks.map((b) => b.language))).toEqual(new Set(["ts", "sh", "python"]));
  });

  test("the only model that the main README brings is the one it says how to convert", () => {
    const models = calls.filter(({ file }) => file === "README.md").flatMap(({ code }) => brought(code) ?? []);
    expect(models).toEqual(served.has("mamba-130m") ? [] : ["mamba-130m"]);
  });

  test("the example in Python says what its neighbour says, and the same client in TypeScript does it", async () => {
    const { client, method, call, printed } = readPythonExample(
      blocks.find(({ language }) => language === "python")!.code,
    );
    const neighbour = blocks.find(({ language, code }) => language === "ts" && code.includes(method.join(".")))!;
    expect(neighbour.code).toContain(`baseURL: "${client.base_url}", apiKey: "${client.api_key}"`);
    const { stream, messages, ...fields } = call;
    for (const [name, value] of Object.entries(fields)) {
      expect(neighbour.code).toMatch(new RegExp(`\\b${name}: ${JSON.stringify(value)}`));
    }
    expect(stream).toBe(true);
    const [{ role, content }] = messages as [{ role: string; content: string }];
    expect(neighbour.code).toContain(`{ role: "${role}" as const, content: "${content}" }`);

    const baseURL = String(client.base_url).replace(ADDRESS, new URL(server.url).host);
    const openai = new OpenAI({ baseURL, apiKey: String(client.api_key) });
    // biome-ignore lint/suspicious/noExplicitAny: names that the README gives
    const at = (value: any, path: readonly (string | number)[]): any => path.reduce((part, name) => part[name], value);
    const create = at(openai, method).bind(at(openai, method.slice(0, -1)));
    let text = "";
    for await (const chunk of await create(call)) text += at(chunk, printed) ?? "";
    expect(text.length).toBeGreaterThan(10);
  });

  test.each(
    blocks
      .filter(({ language }) => language !== "python")
      .map((b, i) => ({ ...b, title: `${i + 1}: ${b.file}, ${b.language}, ${b.code.trim().split("\n")[0]}` })),
  )("$title", async ({ language, code }) => {
    const file = join(folder, `example.${language}`);
    await writeFile(file, code.replaceAll(ADDRESS, new URL(server.url).host));
    const [command, args] =
      language === "ts" ? [process.execPath, ["--disable-warning=ExperimentalWarning", file]] : ["sh", ["-e", file]];
    const { stdout, stderr } = await run(command as string, args as string[], { cwd: folder, timeout: 100_000 });
    expect(stderr).toBe("");
    expect(stdout.length).toBeGreaterThan(40);
    // curl takes an error reply for a success.
    expect(stdout).not.toMatch(/"error":\s*\{/);
    if (code.includes("cached_tokens")) expect(stdout).toMatch(/"cached_tokens":[1-9]/);
  });
});
