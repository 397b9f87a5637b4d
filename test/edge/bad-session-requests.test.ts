import { beforeAll, describe, expect, test } from "vitest";
import { isolate } from "../../worker/edge/isolate.ts";
import { generation } from "./support/bad-fields.ts";
import { append, call, errorOf, expectSameBytes, newSession, session, state, text } from "./support/client.ts";

describe("of a session", () => {
  let id = "";
  let before: Uint8Array;
  beforeAll(async () => {
    id = (await newSession()).id;
    await append(id, { text, max_tokens: 4, seed: 1 });
    before = await state(id);
  });
  const untouched = async (): Promise<void> => expectSameBytes(await state(id), before);

  const rows: [param: string | null, body: unknown, message: RegExp][] = [
    ...generation.map(([param, fields, message]): [string, unknown, RegExp] => [
      param,
      typeof fields === "string" ? fields.replace(/,?"prompt":"a"/, "") : { text, ...(fields as object) },
      message,
    ]),
    ["text", { text: "" }, /text is "": it must be a text of at least one character/],
    ["text", { text: 5 }, /text is 5/],
    ["tokens", { tokens: [] }, /at least one token id/],
    ["tokens[0]", { tokens: ["a"] }, /tokens\[0\] is "a"/],
    ["tokens[2]", { tokens: [1, 2, 300] }, /tokens\[2\] is token 300/],
    ["tokens", { text: "a", tokens: [1] }, /send one of them/],
    ["text", { text: "a".repeat(2049) }, /text has 2049 tokens/],
    ["max_tokens", { max_tokens: 0 }, /give text to append/],
    ["prompt", { prompt: "a" }, /unknown field "prompt": did you mean text\?/],
    ["prompt", { text: "a", prompt: "a" }, /unknown field "prompt": it is not supported here/],
    ["maxTokens", { text: "a", maxTokens: 5 }, /unknown field "maxTokens": did you mean max_tokens\? .*rename it/],
    ["model", { text: "a", model: "other" }, /unknown field "model"/],
    ["on_disconnect", { text: "a", on_disconnect: "save" }, /on_disconnect is "save": it must be "discard" or "keep"/],
    [null, "{", /not JSON/],
  ];
  test.each(rows)("append, %s: %j is a 400 and changes nothing", async (param, body, message) => {
    const error = await errorOf(await call("POST", `/v1/sessions/${id}/append`, body));
    expect(error).toMatchObject({ status: 400, param, message: expect.stringMatching(message) });
    await untouched();
  });

  test("the same in a stream is the same error, not an event", async () => {
    const body = { text: "a", logit_bias: { 300: 1 }, stream: true };
    const error = await errorOf(await call("POST", `/v1/sessions/${id}/append`, body));
    expect(error).toMatchObject({ status: 400, param: "logit_bias" });
    await untouched();
  });

  test("an append to a snapshot that is not retained is a 404 and changes nothing", async () => {
    const error = await errorOf(await call("POST", `/v1/sessions/${id}/append`, { text: "a", snapshot: "snap_0" }));
    expect(error).toMatchObject({ status: 404, code: "snapshot_not_found", param: "snapshot" });
    await untouched();
  });

  test("what was sent is shown cut: in a name, and wherever it makes a message long", async () => {
    const long = "x".repeat(100_000);
    for (const [path, sent] of [
      [`/v1/sessions/${id}/append`, { text, snapshot: long }],
      ["/v1/responses", { model: "chat", input: "a", previous_response_id: long }],
    ] as const) {
      const { status, message } = await errorOf(await call("POST", path, sent));
      expect([status, message.length < 300], path).toEqual([404, true]);
    }
    const { message } = await errorOf(
      await call("POST", `/v1/sessions/${id}/append`, { text, grammar: long.slice(0, 60_000) }),
    );
    expect(message).toHaveLength(2000);
    expect(message).toMatch(/^grammar, line 1: there is an end .*x…x+"$/);
    await untouched();
  });

  test("an empty session cannot go on from nothing", async () => {
    const empty = await newSession();
    const error = await errorOf(await call("POST", `/v1/sessions/${empty.id}/append`, { max_tokens: 4 }));
    expect(error).toMatchObject({ status: 400, param: "text" });
    expect(await errorOf(await call("GET", `/v1/sessions/${empty.id}/state`))).toMatchObject({
      status: 404,
      code: "no_state",
    });
  });

  const flipped = (at: number) => (bytes: Uint8Array) => bytes.with(at < 0 ? bytes.length + at : at, bytes.at(at)! ^ 1);
  test.each<[string, (bytes: Uint8Array) => Uint8Array, number, string]>([
    ["nothing", () => new Uint8Array(0), 422, "invalid_snapshot"],
    ["text", () => new TextEncoder().encode("hello"), 422, "invalid_snapshot"],
    ["one byte less", (b) => b.slice(0, -1), 422, "invalid_snapshot"],
    ["half", (b) => b.slice(0, b.length >> 1), 422, "invalid_snapshot"],
    ["one byte more", (b) => new Uint8Array([...b, 0]), 422, "invalid_snapshot"],
    ["a changed magic", flipped(0), 422, "invalid_snapshot"],
    ["a changed version", flipped(8), 422, "invalid_snapshot"],
    ["a changed header", flipped(40), 422, "invalid_snapshot"],
    ["a changed state", flipped(-100), 422, "invalid_snapshot"],
    ["a changed digest", flipped(-1), 422, "invalid_snapshot"],
    ["more than 8 MiB", () => new Uint8Array(8 * 1024 * 1024 + 1), 413, "body_too_large"],
  ])("PUT of %s is refused and changes nothing", async (_, change, status, code) => {
    const error = await errorOf(await call("PUT", `/v1/sessions/${id}/state`, change(before)));
    expect(error).toMatchObject({ status, code });
    await untouched();
  });

  test("PUT of another model's state is a 409", async () => {
    const other = await newSession({ model: "other" });
    await append(other.id, { text, max_tokens: 0 });
    const theirs = await state(other.id);
    for (const query of ["", "?allow_other_quantization=true"]) {
      const error = await errorOf(await call("PUT", `/v1/sessions/${id}/state${query}`, theirs));
      expect(error).toMatchObject({ status: 409, code: "snapshot_of_another_model" });
    }
    await untouched();
  });

  test("PUT with a wrong query is a 400", async () => {
    const error = await errorOf(await call("PUT", `/v1/sessions/${id}/state?allow_other_quantization=1`, before));
    expect(error).toMatchObject({ status: 400, param: "allow_other_quantization" });
  });

  test("fork with a wrong field, session of an unknown model", async () => {
    const error = await errorOf(await call("POST", `/v1/sessions/${id}/fork`, { from: "x" }));
    expect(error).toMatchObject({ status: 400, param: "from" });
    expect(await errorOf(await call("POST", "/v1/sessions", { model: "x" }))).toMatchObject({
      status: 404,
      param: "model",
    });
    expect(await errorOf(await call("POST", "/v1/sessions", { temperature: 1 }))).toMatchObject({
      status: 400,
      param: "temperature",
    });
  });

  test("after all of these the session goes on", async () => {
    await untouched();
    expect((await session(id)).snapshots).toHaveLength(1);
    expect((await append(id, { max_tokens: 2 })).session).toBe(id);
    expect(isolate.pool.stats()).toMatchObject([{ users: 0, loaded: true }, { users: 0 }]);
  });
});
