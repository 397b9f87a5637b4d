import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { distinct } from "../../scripts/lib/samples/loops.ts";

const run = promisify(execFile);
const MODEL = "weights/models/fable-31m";

describe("npm run samples", () => {
  let folder: string;
  let text: string;
  let dialogues: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mamba-edge-"));
    text = join(folder, "text.txt");
    dialogues = join(folder, "dialogues.jsonl");
    await writeFile(text, "Once upon a time there was a king who had three sons and a daughter.<|endoftext|>\n");
    const messages = [
      { role: "user", content: "Good morning!" },
      { role: "assistant", content: "Good morning." },
    ];
    await writeFile(dialogues, `${JSON.stringify({ messages })}\n`);
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("continues texts, measures loops and replies, the same each time", async () => {
    const args = ["scripts/samples.ts", MODEL, "--text", text, "--dialogues", dialogues, "--loop", "64"];
    const [one, two] = await Promise.all([run("node", args), run("node", args)]);
    expect(one.stdout).toBe(two.stdout);
    expect(one.stdout).toContain("0. **Once upon a time there was a king who had three sons**");
    expect(one.stdout).toMatch(
      /- 64 tokens sampled in one text, temperature 1: \d+ distinct 4-grams in its first 32 tokens/,
    );
    expect(one.stdout).toMatch(/- [01] of 1 replies ended by themselves/);
  });

  test.each([
    ["no text", [MODEL], /--text is missing/],
    ["a dialogue that is not JSON", [MODEL, "--text", "@", "--dialogues", "@"], /--dialogues, line 1: not JSON/],
  ])("%s is an error that says what to do", async (_, args, message) => {
    const given = args.map((arg) => (arg === "@" ? text : arg));
    await expect(run("node", ["scripts/samples.ts", ...given])).rejects.toThrow(message);
  });

  test.each([
    { tokens: [1, 2, 3, 4], n: 4, count: 1 },
    { tokens: [1, 1, 1, 1, 1], n: 4, count: 1 },
    { tokens: [1, 2, 3, 4, 5, 1, 2, 3, 4], n: 4, count: 5 },
    { tokens: [1, 2], n: 4, count: 0 },
  ])("$tokens has $count distinct runs of $n", ({ tokens, n, count }) => {
    expect(distinct(tokens, n)).toBe(count);
  });
});
