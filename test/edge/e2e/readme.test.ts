import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DevServer, startDevServer } from "../../../scripts/lib/dev-server.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const ADDRESS = "localhost:8787";
const readme = await readFile(join(root, "README.md"), "utf8");
/** The blocks that call a running Worker. */
const blocks = [...readme.matchAll(/^```(ts|sh)\n([\s\S]*?)^```$/gm)]
  .map(([, language, code]) => ({ language: language as "ts" | "sh", code: code! }))
  .filter(({ code }) => code.includes(ADDRESS));

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

describe("what README.md shows works as it stands there", () => {
  test("it shows calls in both languages", () => {
    expect(new Set(blocks.map((b) => b.language))).toEqual(new Set(["ts", "sh"]));
  });

  test.each(
    blocks.map((b, i) => ({ ...b, title: `${i + 1}: ${b.language}, ${b.code.trim().split("\n")[0]}` })),
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
    if (stdout.includes("cached_tokens")) expect(stdout).toMatch(/"cached_tokens":[1-9]/);
  });
});
