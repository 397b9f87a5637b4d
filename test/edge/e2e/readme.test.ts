import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildAssets } from "../../../scripts/build-assets.ts";
import { type DevServer, startDevServer } from "../../../scripts/lib/dev-server.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const ADDRESS = "localhost:8787";
const READMES = ["README.md", "worker/edge/README.md"];

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

/** Whether the model that a call names is none of them. */
function brought(code: string): boolean {
  const [, model] = /"model":"([^"]+)"/.exec(code) ?? [];
  return model !== undefined && !served.has(model);
}

/** The blocks that call a running Worker. The Worker's own README also shows calls of models that one has to bring. */
const blocks = (await Promise.all(READMES.map(blocksOf)))
  .flat()
  .filter(({ code }) => code.includes(ADDRESS))
  .filter(({ file, code }) => file === "README.md" || !brought(code));

/** In the project's tree, where packages are found; not in git. */
let folder = "";
let server: DevServer;
beforeAll(async () => {
  server = await startDevServer();
  folder = await mkdtemp(join(root, "dist/readme-"));
}, 180_000);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  if (folder !== "") await rm(folder, { recursive: true, force: true });
});

describe("what the READMEs show works as it stands there", () => {
  test("they show calls with curl and with the client in both of its languages", () => {
    expect(new Set(blocks.map((b) => b.language))).toEqual(new Set(["ts", "sh", "python"]));
  });

  test("the client in Python makes a request that is served, with the model that its neighbour names", async () => {
    const { code } = blocks.find(({ language }) => language === "python")!;
    const text = (name: string): string | undefined => new RegExp(`"?${name}"?[=:] ?"([^"]*)"`).exec(code)?.[1];
    const body = { model: text("model"), messages: [{ role: text("role"), content: text("content") }], max_tokens: 4 };
    const path = `${text("base_url")!.replace(ADDRESS, new URL(server.url).host)}/chat/completions`;
    const response = await fetch(path, { method: "POST", body: JSON.stringify(body) });
    expect(response.status).toBe(200);
    await response.text();
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
