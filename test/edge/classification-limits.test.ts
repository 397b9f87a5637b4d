import { describe, expect, test } from "vitest";
import { errorOf } from "./support/client.ts";
import { namedKeys } from "./support/keys.ts";
import { form, PATH, picture, replied, zip } from "./support/pictures.ts";
import { separate } from "./support/separate.ts";

describe("what a request for classes may cost, and who may send it", () => {
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
    const API_KEYS = await namedKeys(
      { key: "app-key", name: "app", scopes: ["infer"] },
      { key: "ops-key", name: "ops", scopes: ["admin"] },
    );
    const { send } = separate({ API_KEYS });
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
});
