import { describe, expect, test } from "vitest";
import type { ChatChunk, ChatCompletion } from "../../worker/edge/schemas/chat.ts";
import type { ResponseObject } from "../../worker/edge/schemas/response.ts";
import { append, call, chunksOf, complete, errorOf, newSession, textOf } from "./support/client.ts";

const prompt = "Once upon a time";
const messages = [{ role: "user", content: "Who are you?" }];
const schema = {
  type: "object",
  properties: { name: { type: "string", maxLength: 12 }, age: { type: "integer", minimum: 0, maximum: 120 } },
  required: ["name", "age"],
  additionalProperties: false,
};
const response_format = { type: "json_schema", json_schema: { name: "person", schema, strict: true } };

function isPerson(text: string): boolean {
  const { name, age, ...more } = JSON.parse(text);
  return [...name].length <= 12 && Number.isInteger(age) && age >= 0 && age <= 120 && Object.keys(more).length === 0;
}

async function chat(body: Record<string, unknown>): Promise<ChatCompletion> {
  const response = await call("POST", "/v1/chat/completions", { model: "chat", messages, ...body });
  expect(response.status).toBe(200);
  return response.json();
}

describe("chat completions", () => {
  test("every choice is JSON of the schema, whatever the sampling, and ends by itself", async () => {
    for (const sampling of [{}, { temperature: 0 }, { temperature: 2 }, { typical_p: 0.5 }, { top_k: 3, min_p: 0.1 }]) {
      const reply = await chat({ response_format, n: 2, seed: 5, max_tokens: 70, ...sampling });
      for (const { message, finish_reason } of reply.choices) {
        expect(isPerson(message.content), message.content).toBe(true);
        expect(finish_reason).toBe("stop");
      }
    }
  });

  test("streamed, it is the same text with the same log-probabilities", async () => {
    const fields = { response_format, seed: 9, max_tokens: 70, logprobs: true, top_logprobs: 2 };
    const [whole] = (await chat(fields)).choices;
    const streamed = await call("POST", "/v1/chat/completions", { model: "chat", messages, ...fields, stream: true });
    const chunks = (await chunksOf(streamed)) as unknown as ChatChunk[];
    expect(chunks.map((c) => c.choices[0]!.delta.content ?? "").join("")).toBe(whole!.message.content);
    const scores = chunks.flatMap((c) => c.choices[0]!.logprobs?.content ?? []);
    expect(scores).toEqual(whole!.logprobs!.content);
    const bytes = Uint8Array.from(scores.flatMap((s) => s.bytes));
    expect(new TextDecoder().decode(bytes)).toBe(whole!.message.content);
  });

  test("any object, and one line of a grammar", async () => {
    const any = await chat({ response_format: { type: "json_object" }, max_tokens: 30, seed: 2 });
    expect(JSON.parse(any.choices[0]!.message.content)).toBeTypeOf("object");
    const grammar = 'root ::= ("yes" | "no") ", " [a-z]{3,8} "."';
    expect((await chat({ grammar, seed: 3 })).choices[0]!.message.content).toMatch(/^(yes|no), [a-z]{3,8}\.$/);
    const text = await chat({ response_format: { type: "text" }, seed: 4, max_tokens: 4 });
    expect(text.choices[0]!.message.content).toBe((await chat({ seed: 4, max_tokens: 4 })).choices[0]!.message.content);
  });

  test("a reply in a format is kept and gone on from as any other", async () => {
    const talk = [{ role: "user", content: "Tell me of someone in JSON." }];
    const fields = { response_format, seed: 6, max_tokens: 70 };
    const first = await chat({ ...fields, messages: talk });
    const reply = { role: "assistant", content: first.choices[0]!.message.content };
    const next = await chat({ ...fields, messages: [...talk, reply, { role: "user", content: "And another?" }] });
    expect(isPerson(next.choices[0]!.message.content)).toBe(true);
    expect(next.usage!.prompt_tokens_details.cached_tokens).toBeGreaterThanOrEqual(first.usage!.prompt_tokens - 20);
  });
});

describe("completions", () => {
  test("several prompts and choices are each JSON of the schema, streamed and not", async () => {
    const fields = { prompt: [prompt, "Then"], n: 2, response_format, max_tokens: 70, seed: 1 };
    const reply = await complete(fields);
    expect(reply.choices.map((c) => [c.index, isPerson(c.text), c.finish_reason])).toEqual(
      [0, 1, 2, 3].map((index) => [index, true, "stop"]),
    );
    const chunks = await chunksOf(await call("POST", "/v1/completions", { ...fields, stream: true }));
    for (const { index, text } of reply.choices) {
      expect(
        chunks
          .flatMap((c) => c.choices.filter((choice) => choice.index === index).map((choice) => choice.text))
          .join(""),
      ).toBe(text);
    }
  });

  test("a stop string may cut it", async () => {
    const reply = await complete({ prompt, response_format, max_tokens: 70, seed: 1, stop: '"age"' });
    expect(textOf(reply)).toMatch(/^\{"name": ?".*", ?$/s);
    expect(reply.choices[0]!.finish_reason).toBe("stop");
  });
});

describe("responses", () => {
  const respond = (body: object): Promise<Response> =>
    call("POST", "/v1/responses", { model: "chat", input: "Who are you?", max_output_tokens: 70, seed: 5, ...body });
  const format = { type: "json_schema", name: "person", schema, strict: true };

  test("text.format has the same effect, and comes back", async () => {
    const reply = await (await respond({ text: { format } })).json<ResponseObject>();
    expect(reply).toMatchObject({ status: "completed", text: { format } });
    expect(isPerson(reply.output[0]!.content[0]!.text)).toBe(true);
    const any = await (await respond({ text: { format: { type: "json_object" } } })).json<ResponseObject>();
    expect(JSON.parse(any.output[0]!.content[0]!.text)).toBeTypeOf("object");
  });

  test("what is refused is named as it was sent", async () => {
    const unsupported = { ...format, schema: { not: {} } };
    for (const [fields, param] of [
      [{ text: { format: unsupported } }, "text.format.schema.not"],
      [{ text: { format }, max_output_tokens: 5 }, "max_output_tokens"],
      [{ text: { format: { type: "xml" } } }, "text.format.type"],
    ] as const) {
      expect(await errorOf(await respond(fields))).toMatchObject({ status: 400, param });
    }
  });
});

describe("sessions", () => {
  test("each append's text is JSON of the schema, streamed too, and the session goes on after it", async () => {
    const { id } = await newSession();
    const first = await append(id, { text: prompt, response_format, max_tokens: 70, seed: 1 });
    expect(isPerson(textOf(first))).toBe(true);
    expect(first.choices[0]!.finish_reason).toBe("stop");
    // The same prompt and seed without a session: the state has no part in it yet.
    expect(textOf(first)).toBe(textOf(await complete({ prompt, response_format, max_tokens: 70, seed: 1 })));
    const body = { text: "And then", response_format, max_tokens: 70, seed: 2, stream: true };
    const chunks = await chunksOf(await call("POST", `/v1/sessions/${id}/append`, body));
    expect(isPerson(textOf(...chunks))).toBe(true);
    const free = await append(id, { text: " so", max_tokens: 5, seed: 3 });
    expect(free.usage!.prompt_tokens_details!.cached_tokens).toBeGreaterThan(first.usage!.completion_tokens);
    expect(await append(id, { grammar: 'root ::= "yes" | "no"', max_tokens: 5 })).toMatchObject({
      choices: [{ text: expect.stringMatching(/^(yes|no)$/), finish_reason: "stop" }],
    });
  });

  test("in the middle of a text that is held back a format is refused until a text ends it", async () => {
    const { id } = await newSession();
    // The reply is "aaa", which may become the stop string and is held back.
    const logit_bias = { 98: 100 };
    await append(id, { text: "b", max_tokens: 3, stop: "aaaaaaaa", logit_bias, seed: 1 });
    const refused = await call("POST", `/v1/sessions/${id}/append`, { response_format, max_tokens: 70 });
    expect(await errorOf(refused)).toMatchObject({
      status: 400,
      param: "response_format.json_schema.schema",
      message: expect.stringMatching(/in the middle of a text.*: append a text first/),
    });
    const then = await append(id, { text: ". ", response_format, max_tokens: 70, seed: 2 });
    expect(isPerson(textOf(then))).toBe(true);
  });
});

describe("what cannot be promised is a 400 that says what", () => {
  const of = (part: object) => ({ response_format: { type: "json_schema", json_schema: { name: "x", schema: part } } });
  const at = "response_format.json_schema.schema";
  const rows: [param: string, body: object, message: RegExp][] = [
    [
      "response_format",
      { response_format: "json_object" },
      /response_format is "json_object": it must be an object such as/,
    ],
    [
      "response_format.type",
      { response_format: { type: "xml" } },
      /response_format.type is "xml": it must be an object .*json_schema/,
    ],
    [
      "response_format.json_schema",
      { response_format: { type: "json_schema" } },
      /json_schema is missing: give an object/,
    ],
    [
      "response_format.json_schema.name",
      { response_format: { type: "json_schema", json_schema: { schema } } },
      /name is missing/,
    ],
    [
      "response_format.json_schema.x",
      { response_format: { type: "json_schema", json_schema: { name: "x", x: 1 } } },
      /unknown field/,
    ],
    [`${at}.not`, of({ not: {} }), /schema.not is not supported: leave it out/],
    [
      `${at}.properties.a.multipleOf`,
      of({ properties: { a: { type: "number", multipleOf: 0.1 } } }),
      /a.multipleOf is not supported/,
    ],
    [
      `${at}.properties.a.items.pattern`,
      of({ properties: { a: { items: { type: "string", pattern: "(?=x)" } } } }),
      /\(\?= is not supported in a pattern/,
    ],
    ["grammar", { grammar: 'root ::= "a" b' }, /grammar, line 1: the rule "b" is not defined/],
    ["grammar", { grammar: 'root ::= "a"', response_format: { type: "json_object" } }, /both given: send one of them/],
    [
      "max_tokens",
      { ...of(schema), max_tokens: 18 },
      /max_tokens is 18: the shortest text that .*schema allows takes 19 tokens/,
    ],
  ];
  test.each(rows)("%s", async (param, body, message) => {
    for (const [path, input] of [
      ["/v1/completions", { prompt }],
      ["/v1/chat/completions", { model: "chat", messages }],
      [`/v1/sessions/${(await newSession()).id}/append`, { text: prompt }],
    ] as const) {
      const error = await errorOf(await call("POST", path, { ...input, ...body }));
      expect(error).toMatchObject({ status: 400, param, message: expect.stringMatching(message) });
    }
  });

  test("also before a stream begins", async () => {
    const error = await errorOf(await call("POST", "/v1/completions", { prompt, ...of({ not: {} }), stream: true }));
    expect(error).toMatchObject({ status: 400, param: `${at}.not` });
  });

  test("a schema nested a thousand levels deep is refused, not read", async () => {
    let deep: object = { type: "string" };
    for (let i = 0; i < 1000; i++) deep = { items: deep };
    const error = await errorOf(await call("POST", "/v1/completions", { prompt, ...of(deep) }));
    expect(error).toMatchObject({
      status: 400,
      param: at,
      message: expect.stringMatching(/nested more than 128 levels/),
    });
  });
});
