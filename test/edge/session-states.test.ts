import { describe, expect, test } from "vitest";
import {
  append,
  call,
  errorOf,
  expectSameBytes,
  fork,
  logit_bias,
  newSession,
  session,
  state,
  text,
  textOf,
} from "./support/client.ts";

describe("fork", () => {
  test("copies the latest state; neither changes the other", async () => {
    const parent = await newSession();
    await append(parent.id, { text, max_tokens: 4, seed: 1 });
    const before = await state(parent.id);
    const child = await fork(parent.id);
    expect(child).toMatchObject({ object: "session", model: parent.model, forked_from: parent.id });
    expect(child.id).not.toBe(parent.id);
    expectSameBytes(await state(child.id), before);
    await append(child.id, { text: "!", max_tokens: 2 });
    expectSameBytes(await state(parent.id), before);
    await append(parent.id, { text: "?", max_tokens: 2 });
    expect(await state(child.id)).not.toEqual(await state(parent.id));
  });

  test("of an older snapshot goes back to it", async () => {
    const parent = await newSession();
    const first = await append(parent.id, { text, max_tokens: 4, seed: 1 });
    const then = await state(parent.id);
    const next = await append(parent.id, { max_tokens: 8 });
    const child = await fork(parent.id, { snapshot: first.snapshot });
    expect(child).toMatchObject({ snapshot: first.snapshot, snapshots: [{ id: first.snapshot }] });
    expectSameBytes(await state(child.id), then);
    // The seed is the state's: the same continuation.
    expect(textOf(await append(child.id, { max_tokens: 8 }))).toBe(textOf(next));
  });

  test("of an empty session is an empty session", async () => {
    const child = await fork((await newSession()).id);
    expect(child).toMatchObject({ tokens: 0, snapshot: null });
  });

  test("of a snapshot that is not there names those that are", async () => {
    const parent = await newSession();
    const { snapshot } = await append(parent.id, { text, max_tokens: 0 });
    const error = await errorOf(await call("POST", `/v1/sessions/${parent.id}/fork`, { snapshot: "snap_0" }));
    expect(error).toMatchObject({ status: 404, code: "snapshot_not_found", param: "snapshot" });
    expect(error.message).toContain(snapshot);
  });
});

describe("state", () => {
  test("GET gives the bytes with their type, length and id", async () => {
    const { id } = await newSession();
    const { snapshot } = await append(id, { text, max_tokens: 2 });
    const response = await call("GET", `/v1/sessions/${id}/state`);
    const bytes = await response.bytes();
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "application/vnd.mamba-edge.state",
      "content-length": String(bytes.length),
      etag: `"${snapshot}"`,
    });
    expect(new TextDecoder().decode(bytes.subarray(0, 8))).toBe("MAMBASNP");
  });

  test("PUT into another session continues there as if nothing had happened", async () => {
    const [a, b] = [await newSession(), await newSession()];
    await append(a.id, { text, max_tokens: 6, seed: 8 });
    const bytes = await state(a.id);
    const put = await call("PUT", `/v1/sessions/${b.id}/state`, bytes);
    expect(put.status).toBe(200);
    expect(await put.json()).toMatchObject({
      id: b.id,
      tokens: (await session(a.id)).tokens,
      snapshot: (await session(a.id)).snapshot,
    });
    expectSameBytes(await state(b.id), bytes);
    const [one, two] = [await append(a.id, { max_tokens: 12 }), await append(b.id, { max_tokens: 12 })];
    expect(textOf(two)).toBe(textOf(one));
    expectSameBytes(await state(b.id), await state(a.id));
  });

  test("PUT from another quantization of the model only when that is allowed", async () => {
    const [a, b] = [await newSession({ model: "tiny" }), await newSession({ model: "tiny-q8" })];
    await append(a.id, { text, max_tokens: 6, seed: 8 });
    const bytes = await state(a.id);
    const error = await errorOf(await call("PUT", `/v1/sessions/${b.id}/state`, bytes));
    expect(error).toMatchObject({ status: 409, code: "snapshot_of_another_quantization" });
    expect((await session(b.id)).snapshot).toBeNull();
    expect((await call("PUT", `/v1/sessions/${b.id}/state?allow_other_quantization=true`, bytes)).status).toBe(200);
    const reply = await append(b.id, { max_tokens: 6, logit_bias });
    expect(reply).toMatchObject({ model: b.model, usage: { completion_tokens: 6 } });
  });
});
