import { describe, expect, test } from "vitest";
import golden from "../golden/vmamba-v2-tiny/golden.json";
import { call } from "./support/client.ts";

describe("POST /v2/models/vmamba/infer", () => {
  const infer = (body: unknown): Promise<Response> => call("POST", "/v2/models/vmamba/infer", body);
  const tensor = (shape: readonly number[], data: readonly number[]) => ({
    name: "pixels",
    datatype: "FP32",
    shape,
    data,
  });

  test("says what it takes", async () => {
    const model = await (await call("GET", "/v2/models/vmamba")).json();
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
