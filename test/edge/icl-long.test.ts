import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { expect, test } from "vitest";
import { draw } from "../../worker/engine/random.ts";
import { call, expectSameBytes, newSession, state, storeOf } from "./support/client.ts";
import { predicted } from "./support/icl.ts";

/** One layer's keys and values of 1,000 positions of width 256 are 2,048,000 bytes, more than a row holds. */
const [EXAMPLES, LAYER_BYTES] = [500, 1000 * 2 * 256 * 4];
const ROW_BYTES = 2_000_000;

const number = (i: number): number => 4 * draw(7, i) - 2;
const examples = Array.from({ length: EXAMPLES + 2 }, (_, e) => ({
  x: Array.from({ length: 5 }, (_, i) => number(6 * e + i)),
  y: number(6 * e + 5),
}));
const query = [[1, -1, 0.5, 0, 2]];

function rowsOf(id: string): Promise<number[]> {
  return runInDurableObject(storeOf(id), (_, { storage }) => {
    const latest = "SELECT max(revision) FROM snapshots";
    const query = `SELECT length(bytes) AS bytes FROM pieces WHERE revision = (${latest}) ORDER BY piece`;
    return [...storage.sql.exec<{ bytes: number }>(query)].map(({ bytes }) => bytes);
  });
}

test("keys and values of more than a row holds are stored in several, read back bitwise, and go on as if never stored", async () => {
  const { id } = await newSession({ model: "icl-long" });
  const first = await predicted({ session: id, examples: examples.slice(0, EXAMPLES) });
  expect(first.usage.state_bytes).toBeGreaterThan(LAYER_BYTES);

  const rows = await rowsOf(id);
  expect(Math.max(...rows)).toBeLessThan(ROW_BYTES);
  const written = await state(id);
  expect(rows.reduce((sum, bytes) => sum + bytes, 0)).toBe(written.length);
  // A header, the attention layer in pieces, Mamba's layer in one, a digest.
  expect(rows.length).toBeGreaterThanOrEqual(1 + Math.ceil(LAYER_BYTES / ROW_BYTES) + 1 + 1);

  await evictDurableObject(storeOf(id));
  expectSameBytes(await state(id), written);

  const then = await predicted({ session: id, examples: examples.slice(EXAMPLES), query });
  expect(then.usage).toMatchObject({ cached_examples: EXAMPLES, computed_positions: 2 * 2 + 1 });
  const whole = await predicted({ model: "icl-long", examples, query });
  expect(then.before).toEqual(whole.before.slice(EXAMPLES));
  expect(then.predictions).toEqual(whole.predictions);
});

test("the same state goes through PUT into another session", async () => {
  const { id } = await newSession({ model: "icl-long" });
  await predicted({ session: id, examples: examples.slice(0, EXAMPLES) });
  const written = await state(id);
  const { id: other } = await newSession({ model: "icl-long" });
  expect((await call("PUT", `/v1/sessions/${other}/state`, written)).status).toBe(200);
  expect(Math.max(...(await rowsOf(other)))).toBeLessThan(ROW_BYTES);
  const [a, b] = await Promise.all([id, other].map((session) => predicted({ session, query })));
  expect(a!.predictions).toEqual(b!.predictions);
});
