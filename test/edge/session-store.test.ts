import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import { RETAINED_SNAPSHOTS, type SnapshotBytes } from "../../worker/edge/sessions/session-tables.ts";
import { newSessionId } from "../../worker/edge/sessions/sessions.ts";
import { append, call, errorOf, expectSameBytes, fork, newSession, session, state, storeOf } from "./support/client.ts";

const DAY = 86_400_000;
const owner = "someone";

/** Bytes that end with their sha256, as a snapshot's do. */
async function snapshot(id: string, size: number, cuts: readonly number[] = []): Promise<SnapshotBytes> {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size - 32; i++) bytes[i] = (i * 31 + id.length * 7 + (i >> 8)) & 255;
  bytes.set(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.subarray(0, -32))), size - 32);
  return { id, tokens: size, bytes, cuts };
}

async function make(): Promise<{ id: string; store: ReturnType<typeof storeOf> }> {
  const id = newSessionId();
  const store = storeOf(id);
  await store.create({ id, owner, model: "m@0", forkedFrom: null });
  return { id, store };
}

/** The largest row, and how many there are. */
function rows(store: ReturnType<typeof storeOf>): Promise<{ count: number; largest: number }> {
  return runInDurableObject(store, (_, { storage }) => {
    const query = "SELECT count(*) AS count, max(length(bytes)) AS largest FROM pieces";
    return storage.sql.exec<{ count: number; largest: number }>(query).one();
  });
}

describe("what is stored", () => {
  test("a row for the header, one for each layer, one for the digest", async () => {
    const { id } = await newSession();
    await append(id, { text: "a", max_tokens: 0 });
    const layer = 4 * (3 * 128 + 128 * 16);
    expect(await rows(storeOf(id))).toEqual({ count: 1 + 3 + 1, largest: layer });
    expect(await rows(storeOf((await fork(id)).id))).toEqual({ count: 1 + 3 + 1, largest: layer });
  });

  test.each([
    33,
    1000,
    1 << 20,
    (1 << 20) + 1,
    5_000_000,
  ])("%i bytes are read as they were written, in rows below 2 MB", async (size) => {
    const { store } = await make();
    const written = await snapshot("a", size, [10, 20, size >> 1]);
    await store.put(owner, written, 0);
    await evictDurableObject(store);
    const read = await store.read(owner);
    expect(read!.snapshot!.id).toBe("a");
    expectSameBytes(read!.snapshot!.bytes, written.bytes);
    expect((await rows(store)).largest).toBeLessThanOrEqual(1 << 20);
  });

  test(`the newest ${RETAINED_SNAPSHOTS} snapshots are kept, and nothing of the others`, async () => {
    const { store } = await make();
    for (let i = 0; i < 7; i++) await store.put(owner, await snapshot("s".repeat(i + 1), 3_000, [100]), i);
    const { snapshots } = (await store.info(owner))!;
    expect(snapshots.map((s) => s.id.length)).toEqual([7, 6, 5, 4]);
    expect((await rows(store)).count).toBe(2 * RETAINED_SNAPSHOTS);
    expect(await store.read(owner, "sss")).not.toHaveProperty("snapshot");
    expect((await store.read(owner, "ssss"))!.snapshot!.bytes).toEqual((await snapshot("ssss", 3_000)).bytes);
  });

  test("a snapshot that is there already becomes the latest", async () => {
    const { store } = await make();
    const [a, b] = [await snapshot("a", 100), await snapshot("bb", 100)];
    for (const s of [a, b, a]) await store.put(owner, s);
    expect((await store.info(owner))!.snapshots.map((s) => s.id)).toEqual(["a", "bb"]);
    expect((await store.read(owner))!.snapshot!.bytes).toEqual(a.bytes);
  });
});

describe("what is refused", () => {
  test("a writer that began from an older state stores nothing", async () => {
    const { store } = await make();
    expect(await store.put(owner, await snapshot("a", 100), 0)).toMatchObject({
      stored: true,
      session: { revision: 1 },
    });
    expect(await store.put(owner, await snapshot("bb", 100), 0)).toMatchObject({
      stored: false,
      session: { revision: 1 },
    });
    expect((await store.info(owner))!.snapshots.map((s) => s.id)).toEqual(["a"]);
  });

  test("bytes whose digest is wrong are not stored", async () => {
    const { store } = await make();
    const { bytes, ...rest } = await snapshot("a", 100);
    const changed = { ...rest, bytes: bytes.with(5, bytes[5]! ^ 1) };
    await runInDurableObject(store, async (object) => {
      await expect(object.put(owner, changed)).rejects.toThrow(/sha256/);
    });
    expect((await store.info(owner))!.snapshots).toEqual([]);
  });

  test("a failure in the middle leaves what was there", async () => {
    const { store } = await make();
    await store.put(owner, await snapshot("a", 100));
    const next = await snapshot("bb", 1000, [100, 500]);
    await runInDurableObject(store, async (object, { storage }) => {
      const full = "BEGIN SELECT RAISE(ABORT, 'disk full'); END";
      storage.sql.exec(`CREATE TRIGGER full BEFORE INSERT ON pieces WHEN NEW.piece = 2 ${full}`);
      await expect(object.put(owner, next)).rejects.toThrow(/disk full/);
    });
    expect(await store.info(owner)).toMatchObject({ revision: 1, snapshots: [{ id: "a" }] });
    expect((await store.read(owner))!.snapshot!.bytes).toEqual((await snapshot("a", 100)).bytes);
  });

  test("another owner sees nothing and changes nothing", async () => {
    const { store } = await make();
    const s = await snapshot("a", 100);
    expect(await store.info("else")).toBeUndefined();
    expect(await store.read("else")).toBeUndefined();
    expect(await store.put("else", s)).toBeUndefined();
    expect(await store.remove("else")).toBe(false);
    expect((await store.info(owner))!.snapshots).toEqual([]);
  });

  test.each([
    ["a changed byte", "UPDATE pieces SET bytes = zeroblob(length(bytes)) WHERE piece = 2"],
    ["a missing row", "DELETE FROM pieces WHERE piece = 1"],
    ["a longer row", "UPDATE pieces SET bytes = zeroblob(length(bytes) + 1) WHERE piece = 3"],
  ])("%s is found when it is read; an earlier snapshot still forks", async (_, damage) => {
    const { id } = await newSession();
    const first = await append(id, { text: "a", max_tokens: 2, seed: 1 });
    await append(id, { text: "b", max_tokens: 2 });
    await runInDurableObject(storeOf(id), (_, { storage }) => {
      storage.sql.exec(`${damage} AND revision = 2`);
    });
    const error = await errorOf(await call("POST", `/v1/sessions/${id}/append`, { text: "c", max_tokens: 1 }));
    expect(error).toMatchObject({ status: 500, code: "state_damaged" });
    expect((await fork(id, { snapshot: first.snapshot })).snapshot).toBe(first.snapshot);
  });
});

describe("expiry", () => {
  const age = (id: string, days: number): Promise<void> =>
    runInDurableObject(storeOf(id), (_, { storage }) => {
      storage.sql.exec("UPDATE session SET used = ?", Date.now() - days * DAY);
    });

  test("thirty days after its last use a session's alarm deletes all of it", async () => {
    const { id } = await newSession();
    await append(id, { text: "a", max_tokens: 1 });
    await age(id, 31);
    expect(await runDurableObjectAlarm(storeOf(id))).toBe(true);
    expect(await errorOf(await call("GET", `/v1/sessions/${id}`))).toMatchObject({ status: 404 });
    const left = await runInDurableObject(storeOf(id), async (_, { storage }) => ({
      tables: storage.sql
        .exec("SELECT name FROM sqlite_master WHERE name IN ('session', 'snapshots', 'pieces')")
        .toArray(),
      alarm: await storage.getAlarm(),
    }));
    expect(left).toEqual({ tables: [], alarm: null });
  });

  test("an alarm that comes before that sets the next and deletes nothing", async () => {
    const { id } = await newSession();
    await append(id, { text: "a", max_tokens: 1 });
    const before = await state(id);
    await age(id, 29);
    expect(await runDurableObjectAlarm(storeOf(id))).toBe(true);
    const alarm = await runInDurableObject(storeOf(id), (_, { storage }) => storage.getAlarm());
    expect(Math.abs(alarm! - (Date.now() + DAY))).toBeLessThan(60_000);
    expectSameBytes(await state(id), before);
  });

  test("using a session moves its end", async () => {
    const { id } = await newSession();
    await append(id, { text: "a", max_tokens: 1 });
    await age(id, 20);
    const old = (await session(id)).expires;
    await state(id);
    expect((await session(id)).expires - old).toBeGreaterThan(19 * 86_400);
  });

  test("asking for a session that nobody made stores nothing", async () => {
    const id = newSessionId();
    expect((await call("GET", `/v1/sessions/${id}`)).status).toBe(404);
    const tables = await runInDurableObject(storeOf(id), (_, { storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf\\_%' ESCAPE '\\'").toArray(),
    );
    expect(tables).toEqual([]);
  });
});
