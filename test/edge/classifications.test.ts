import { exports } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { INDEX_FILE } from "../../worker/edge/models/index-file.ts";
import { call, errorOf, ORIGIN } from "./support/client.ts";
import { form, PATH, picture, replied, zip } from "./support/pictures.ts";
import { intercept, separate } from "./support/separate.ts";

const post = (body: BodyInit, query = "?model=vmamba", headers: Record<string, string> = {}): Promise<Response> =>
  exports.default.fetch(`${ORIGIN}${PATH}${query}`, { method: "POST", body, headers });

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
    [
      "a language model",
      () => post(zip, "?model=tiny"),
      400,
      "invalid_value",
      /tiny@\w+ is a language model: .*; here use vmamba@\w+$/,
    ],
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

  test("GET is a 405, and the endpoint is described", async () => {
    expect((await call("GET", PATH)).status).toBe(405);
    const { paths } = await (await call("GET", "/openapi.json")).json<{ paths: Record<string, unknown> }>();
    expect(paths[PATH]).toHaveProperty("post");
  });
});
