import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ERROR_CODES } from "../../../worker/edge/http/error-codes.ts";

const EDGE = "worker/edge";
const LIST = "error-codes.ts";

test("the README's table has every error code under its status, and no other", async () => {
  const readme = await readFile(join(EDGE, "README.md"), "utf8");
  const [, table] = /\n\| status \| codes \|\n(?:\|-+)+\|\n((?:\|.*\n)+)/.exec(readme)!;
  const codes = table!
    .trimEnd()
    .split("\n")
    .flatMap((row) => {
      const [, status, text] = /^\| (\d{3}) \| (.*) \|$/.exec(row)!;
      // retry-after is a header.
      return [...text!.matchAll(/`(\w+)`/g)].map(([, code]): [string, number] => [code!, Number(status)]);
    });
  expect(new Map(codes).size, "each is there once").toBe(codes.length);
  expect(Object.fromEntries(codes)).toEqual(ERROR_CODES);
});

test("every error code is one that the edge gives", async () => {
  const files = (await readdir(EDGE, { recursive: true })).filter(
    (file) => file.endsWith(".ts") && !file.endsWith(LIST),
  );
  const source = (await Promise.all(files.map((file) => readFile(join(EDGE, file), "utf8")))).join("");
  const unused = Object.keys(ERROR_CODES).filter((code) => !source.includes(`"${code}"`));
  expect(unused).toEqual([]);
});
