import { env, exports } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { sha256 } from "../../worker/edge/http/keys.ts";
import { INDEX_FILE } from "../../worker/edge/models/index-file.ts";
import type { ClassificationReply } from "../../worker/edge/schemas/images.ts";
import golden from "../golden/vmamba-v2-tiny/golden.json";
import { call, errorOf, ORIGIN } from "./support/client.ts";
import { intercept, separate } from "./support/separate.ts";

const send = (path: string, init: RequestInit = {}): Promise<Response> =>
  exports.default.fetch(`${ORIGIN}${path}`, init);
const PATH = "/v1/images/classifications";

async function picture(name: string): Promise<Uint8Array> {
  return (await env.ASSETS.fetch(`http://assets/images/${name}`)).bytes();
}
const post = (body: BodyInit, query = "?model=vmamba", headers: Record<string, string> = {}): Promise<Response> =>
  send(`${PATH}${query}`, { method: "POST", body, headers });
function form(files: readonly Uint8Array[], fields: Record<string, string> = {}): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.set(name, value);
  for (const file of files) data.append("image", new File([file], "photo"));
  return data;
}
async function replied(response: Response): Promise<ClassificationReply> {
  const reply = await response.json<ClassificationReply>();
  expect({ status: response.status, reply }).toMatchObject({ status: 200 });
  return reply;
}

async function sha256Hex(text: string): Promise<string> {
  return [...(await sha256(text))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

describe("POST /v1/images/classifications", () => {
  test("a picture as the body: the best classes, and their scores add up", async () => {
    const reply = await replied(await post(await picture("420.jpg"), "?model=vmamba&top_k=10"));
    expect(reply).toMatchObject({ object: "image.classifications", model: expect.stringMatching(/^vmamba@/) });
    const { classes } = reply.data[0]!;
    expect(classes).toHaveLength(10);
    expect(classes.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 6);
    expect(classes.map(({ score }) => score)).toEqual(classes.map(({ score }) => score).sort((a, b) => b - a));
    expect(new Set(classes.map(({ index }) => index)).size).toBe(10);
  });

  test("without a model the first image model answers, with 5 classes", async () => {
    const reply = await replied(await post(await picture("lossy.webp"), ""));
    expect(reply.data[0]!.classes).toHaveLength(5);
  });

  test("eight pictures of a form are each seen as alone", async () => {
    const names = [
      "420.jpg",
      "rgb.png",
      "lossy.webp",
      "grey.jpg",
      "palette.png",
      "wide.png",
      "one-pixel.png",
      "rgba.png",
    ];
    const files = await Promise.all(names.map(picture));
    const { data } = await replied(await post(form(files, { model: "vmamba", top_k: "3" }), ""));
    expect(data.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    for (const [i, file] of files.entries()) {
      const alone = await replied(await post(file, "?model=vmamba&top_k=3"));
      expect(data[i]!.classes).toEqual(alone.data[0]!.classes);
    }
  });

  test("observe gives the four scans of a stage", async () => {
    const reply = await replied(await post(await picture("420.jpg"), "?model=vmamba&observe=2"));
    const { height, width, values } = reply.data[0]!.scans!;
    expect([height, width, values.length]).toEqual([6, 8, 4 * 48]);
    expect(values.some((value) => value !== 0)).toBe(true);
    expect(await errorOf(await post(await picture("420.jpg"), "?model=vmamba&observe=9"))).toMatchObject({
      status: 400,
      message: expect.stringMatching(/stages 1 to 4/),
    });
  });

  test("a picture turned by its Exif is the picture that its pixels show", async () => {
    const upright = await replied(await post(await picture("orientation-1.jpg")));
    const mirrored = await replied(await post(await picture("orientation-2.jpg")));
    expect(mirrored.data).not.toEqual(upright.data);
  });

  const zip = new TextEncoder().encode("PK\x03\x04 and more");
  const refused: [name: string, make: () => Promise<Response>, status: number, code: string, message: RegExp][] = [
    ["a URL in the query", () => post("", "?url=https://a.b/c.jpg"), 400, "url_not_supported", /not fetched/],
    [
      "JSON",
      () => post('{"url":"https://a.b/c.jpg"}', "", { "content-type": "application/json" }),
      415,
      "image_unsupported",
      /body is JSON: send a picture's bytes as the body \(JPEG, PNG or WebP\), or a form/,
    ],
    ["JSON that does not say so", () => post('{"image":"…"}', ""), 415, "image_unsupported", /body is JSON, in which/],
    ["a data: URL", () => post("data:image/png;base64,iVBORw0KGgo=", ""), 415, "image_unsupported", /a data: URL/],
    [
      "a data: URL in a form",
      () => post(form([], { image: "data:image/png;base64,iVBORw0KGgo=" }), ""),
      400,
      "invalid_value",
      /image is a text: send it as a file/,
    ],
    ["a URL in a form", () => post(form([], { image: "https://a.b" }), ""), 400, "url_not_supported", /not fetched/],
    ["a form without pictures", () => post(form([], { top_k: "1" }), ""), 400, "missing_field", /no file/],
    ["nine pictures", () => post(form(Array(9).fill(zip)), ""), 400, "invalid_value", /9 pictures.* 8/],
    [
      "an unknown field",
      () => post(zip, "?size=3"),
      400,
      "unknown_field",
      /"size": the fields are image .*, model, top_k and observe$/,
    ],
    ["top_k 0", () => post(zip, "?top_k=0"), 400, "invalid_value", /top_k is "0"/],
    ["a language model", () => post(zip, "?model=tiny"), 400, "invalid_value", /tiny@.* is not fed images/],
    ["an unknown model", () => post(zip, "?model=none"), 404, "model_not_found", /none/],
    ["a zip", () => post(zip), 415, "image_unsupported", /zip archive/],
    [
      "an animated GIF",
      async () => post(await picture("animated.gif")),
      415,
      "image_unsupported",
      /a GIF: send a JPEG/,
    ],
    ["an animated WebP", async () => post(await picture("animated.webp")), 415, "image_unsupported", /is animated/],
    ["a CMYK JPEG", async () => post(await picture("cmyk.jpg")), 415, "image_unsupported", /CMYK colours/],
    [
      "a PNG that says 20,000 × 20,000",
      async () => {
        const bytes = await picture("rgb.png");
        new DataView(bytes.buffer).setUint32(16, 20_000);
        new DataView(bytes.buffer).setUint32(20, 20_000);
        return post(bytes);
      },
      413,
      "image_too_large",
      /20000×20000, 400000000 pixels, at most 4194304/,
    ],
    ["nothing", () => post(""), 415, "image_unsupported", /empty/],
    ["a body of 9 MB", () => post(new Uint8Array(9e6)), 413, "body_too_large", /at most 8388608/],
    [
      "a cut file among others",
      async () =>
        post(form([await picture("rgb.png"), (await picture("rgb.png")).subarray(0, 999)], { model: "vmamba" }), ""),
      400,
      "image_damaged",
      /image 1: .*cut off/,
    ],
  ];
  test.each(refused)("%s is refused", async (_, make, status, code, message) => {
    expect(await errorOf(await make())).toMatchObject({ status, code, message: expect.stringMatching(message) });
  });

  test("where no image model is served, that is said", async () => {
    const { send } = separate({
      ASSETS: intercept((file, fetch) => (file === INDEX_FILE ? Response.json([]) : fetch())),
    });
    const response = await send(PATH, { method: "POST", body: await picture("rgb.png") });
    expect(await errorOf(response)).toMatchObject({
      status: 404,
      code: "model_not_found",
      message: expect.stringMatching(/no image model/),
    });
  });

  test("a request that costs more than one may is refused with the numbers, before anything is decoded", async () => {
    const few = separate({ MAX_MULTIPLY_ADDS_PER_REQUEST: 1e7 });
    const none = separate({ MAX_MULTIPLY_ADDS_PER_REQUEST: 1e4 });
    const send = (to: typeof few, files: Uint8Array[]) =>
      to.send(PATH, { method: "POST", body: form(files, { model: "vmamba" }) });
    const picture1 = await picture("rgb.png");
    expect(await errorOf(await send(few, Array(8).fill(zip)))).toMatchObject({
      status: 400,
      param: "image",
      message: expect.stringMatching(
        /8 images of 48×64 cost \d{8} multiply-adds on vmamba@\w+, a request may cost 10000000: send 2 at a time/,
      ),
    });
    await replied(await send(few, [picture1]));
    expect(await errorOf(await send(none, [picture1]))).toMatchObject({
      status: 400,
      message: expect.stringMatching(/a request may cost 10000: no image of this size can be served/),
    });
    const tensors = { inputs: [{ name: "pixels", datatype: "FP32", shape: [1, 3, 8, 8], data: Array(192).fill(0) }] };
    const infer = (to: typeof few) =>
      to.send("/v2/models/vmamba/infer", { method: "POST", body: JSON.stringify(tensors) });
    expect((await infer(few)).status).toBe(200);
    expect([(await infer(none)).status, await (await infer(none)).text()]).toEqual([
      400,
      expect.stringMatching(/1 images of 8×8 cost \d+ multiply-adds/),
    ]);
  });

  test("a picture whose decoding takes much memory gets it from idle models, or is a 413", async () => {
    const largest = await picture("largest-progressive.jpg");
    const { send, post, get } = separate({ MEMORY_BUDGET_MB: 66 });
    const loaded = async (): Promise<string[]> =>
      [...(await (await get("/metrics")).text()).matchAll(/model_loaded\{model="(\w+)@/g)].map(([, name]) => name!);
    await (await post({ model: "slow", prompt: "a", max_tokens: 1 })).text();
    await replied(await send(`${PATH}?model=vmamba`, { method: "POST", body: await picture("rgb.png") }));
    expect(await loaded()).toEqual(["slow", "vmamba"]);
    await replied(await send(`${PATH}?model=vmamba`, { method: "POST", body: largest }));
    expect(await loaded()).toEqual(["vmamba"]);
    // What was taken is given back.
    await (await post({ model: "slow", prompt: "a", max_tokens: 1 })).text();
    expect(await loaded()).toEqual(["vmamba", "slow"]);

    const small = separate({ MEMORY_BUDGET_MB: 40 });
    const refused = await small.send(`${PATH}?model=vmamba`, { method: "POST", body: largest });
    expect(await errorOf(refused)).toMatchObject({
      status: 413,
      code: "image_too_large",
      message: expect.stringMatching(
        /decoding the picture beside vmamba@\w+ takes [45]\d\.\d MB, models and pictures may take 40\.0 MB: make it smaller/,
      ),
    });
  });

  test("takes a key where there are keys, with the scope to infer", async () => {
    const keys = [
      ["app-key", "infer"],
      ["ops-key", "admin"],
    ] as const;
    const list = keys.map(async ([key, scope]) => ({ sha256: await sha256Hex(key), name: key, scopes: [scope] }));
    const { send } = separate({ API_KEYS: JSON.stringify(await Promise.all(list)) });
    const body = await picture("rgb.png");
    const as = async (key?: string): Promise<Response> =>
      send(`${PATH}?model=vmamba`, {
        method: "POST",
        body,
        ...(key && { headers: { authorization: `Bearer ${key}` } }),
      });
    expect(await errorOf(await as())).toMatchObject({ status: 401 });
    expect(await errorOf(await as("wrong"))).toMatchObject({ status: 401 });
    expect(await errorOf(await as("ops-key"))).toMatchObject({
      status: 403,
      message: expect.stringMatching(/needs a key with the scope/),
    });
    await replied(await as("app-key"));
  });

  test("is counted: requests by status, images, and the model's memory", async () => {
    const { send, get } = separate({});
    const body = form([await picture("rgb.png"), await picture("420.jpg")], { model: "vmamba" });
    await replied(await send(PATH, { method: "POST", body }));
    await (await send(PATH, { method: "POST", body: zip })).text();
    const metrics = await (await get("/metrics")).text();
    expect(metrics).toContain(`mamba_edge_requests_total{method="POST",route="${PATH}",status="200"} 1\n`);
    expect(metrics).toContain(`mamba_edge_requests_total{method="POST",route="${PATH}",status="415"} 1\n`);
    expect(metrics).toMatch(/^mamba_edge_images_total 2$/m);
    expect(metrics).toMatch(/^mamba_edge_tokens_total\{kind="computed"\} 0$/m);
    expect(metrics).toMatch(/^mamba_edge_model_loaded\{model="vmamba@\w+"\} 1$/m);
    expect(metrics).toMatch(/^mamba_edge_active_sequences\{model="vmamba@\w+"\} 0$/m);
    expect(Number(/stage="prefill"\} (\S+)/.exec(metrics)![1])).toBeGreaterThanOrEqual(0);
  });

  test("GET is a 405, and the endpoint is described", async () => {
    expect((await call("GET", PATH)).status).toBe(405);
    const { paths } = await (await call("GET", "/openapi.json")).json<{ paths: Record<string, unknown> }>();
    expect(paths[PATH]).toHaveProperty("post");
  });
});

describe("POST /v2/models/vmamba/infer", () => {
  const infer = (body: unknown): Promise<Response> =>
    send("/v2/models/vmamba/infer", { method: "POST", body: JSON.stringify(body) });
  const tensor = (shape: readonly number[], data: readonly number[]) => ({
    name: "pixels",
    datatype: "FP32",
    shape,
    data,
  });

  test("says what it takes", async () => {
    const model = await (await send("/v2/models/vmamba")).json();
    expect(model).toMatchObject({
      inputs: [{ name: "pixels", shape: [-1, 3, -1, -1] }],
      outputs: [{ name: "logits" }],
    });
  });

  test.each(golden.cases)("gives the official implementation's logits", async ({ shape, pixels_chw, logits }) => {
    const both = { id: "a", inputs: [tensor([2, 3, ...shape], [...pixels_chw, ...pixels_chw])] };
    const reply = await (await infer(both)).json<{ id: string; outputs: { shape: number[]; data: number[] }[] }>();
    expect(reply).toMatchObject({ id: "a", model_name: "vmamba", outputs: [{ name: "logits", shape: [2, 10] }] });
    const largest = Math.max(...logits.map(Math.abs));
    reply.outputs[0]!.data.forEach((value, i) => {
      expect(Math.abs(value - logits[i % 10]!) / largest).toBeLessThan(1e-4);
    });
  });

  const bad: [name: string, shape: number[], data: number[], message: RegExp][] = [
    ["one channel", [1, 1, 2, 2], [0, 0, 0, 0], /3 channels/],
    ["too few numbers", [1, 3, 2, 2], [0], /takes 12 numbers, the data are 1/],
    ["nine images", [9, 3, 1, 1], Array(27).fill(0), /may have 8 images/],
    ["too large", [1, 3, 49, 1], Array(147).fill(0), /up to 48×64/],
    ["beyond f32", [1, 3, 1, 1], [0, 1e39, 0], /number 1 .* 1e\+39/],
    ["three dimensions", [3, 2, 2], Array(12).fill(0), /\[n, 3, height, width\]/],
  ];
  test.each(bad)("%s is a 400", async (_, shape, data, message) => {
    const response = await infer({ inputs: [tensor(shape, data)] });
    expect([response.status, await response.json()]).toEqual([400, { error: expect.stringMatching(message) }]);
  });
});
