import { describe, expect, test } from "vitest";
import mambaformer from "../golden/icl-mambaformer/golden.json";
import { call } from "./support/client.ts";
import { expectClose } from "./support/icl.ts";

describe("POST /v2/models/{name}/infer with vectors", () => {
  const golden = mambaformer.cases[1]!;
  const rows = golden.xs.flatMap((x, i) => [x, [golden.ys[i]!, 0, 0, 0, 0]]).slice(0, -1);
  const tensor = (fields: Record<string, unknown> = {}) => ({
    name: "vectors",
    datatype: "FP32",
    shape: [rows.length, 5],
    data: rows.flat(),
    ...fields,
  });
  const infer = (body: unknown, model = "icl-mambaformer") => call("POST", `/v2/models/${model}/infer`, body);
  interface Reply {
    outputs: { name: string; datatype: string; shape: number[]; data: number[] }[];
  }

  test("says what it is fed", async () => {
    expect(await (await call("GET", "/v2/models/icl-mamba")).json()).toMatchObject({
      inputs: [{ name: "vectors", datatype: "FP32", shape: [1, -1, 5] }],
      outputs: [{ name: "outputs", datatype: "FP32" }],
    });
  });

  test("gives the outputs of the last position, or of all", async () => {
    const batch = { shape: [1, rows.length, 5], datatype: "FP64" };
    const forms = [tensor(), tensor({ data: rows }), tensor(batch), tensor({ ...batch, data: [rows] })];
    for (const form of forms) {
      const all = await (await infer({ inputs: [form], parameters: { positions: "all" } })).json<Reply>();
      expect(all.outputs).toMatchObject([{ name: "outputs", datatype: "FP32", shape: [1, rows.length, 1] }]);
      expectClose(
        all.outputs[0]!.data.filter((_, i) => i % 2 === 0),
        golden.predictions,
      );
      const last = await (await infer({ id: "mine", inputs: [form], outputs: [{ name: "outputs" }] })).json<Reply>();
      expect(last).toMatchObject({ id: "mine", outputs: [{ shape: [1, 1], data: all.outputs[0]!.data.slice(-1) }] });
    }
  });

  const bad: [what: string, body: unknown, message: RegExp][] = [
    ["tokens", { inputs: [tensor({ name: "tokens" })] }, /inputs\[0\].name is "tokens": .*this model is fed vectors/],
    ["whole numbers", { inputs: [tensor({ datatype: "INT32" })] }, /datatype is "INT32"/],
    ["another width", { inputs: [tensor({ shape: [15, 3] })] }, /vectors of 5 numbers: it must be \[n, 5\]/],
    ["a batch", { inputs: [tensor({ shape: [2, 5, 5] })] }, /must be \[n, 5\] or \[1, n, 5\]/],
    ["another count", { inputs: [tensor({ shape: [4, 5] })] }, /takes 20 numbers, the data are 45/],
    ["uneven rows", { inputs: [tensor({ data: [[1, 2, 3, 4, 5], [1]] })] }, /row 1 of inputs\[0\].data has 1 numbers/],
    ["uneven rows of a batch", { inputs: [tensor({ shape: [1, 2, 5], data: [[[1, 2, 3, 4, 5], [1]]] })] }, /row 1 of/],
    [
      "a batch where the shape has none",
      { inputs: [tensor({ data: [rows] })] },
      /^inputs\[0\].data is nested as \[1,9,5\], inputs\[0\].shape is \[9,5\]: give the numbers flat, or nested as the shape says$/,
    ],
    [
      "no batch where the shape has one",
      { inputs: [tensor({ shape: [1, 9, 5], data: rows })] },
      /data is nested as \[9,5\], inputs\[0\].shape is \[1,9,5\]: /,
    ],
    ["an empty batch", { inputs: [tensor({ data: [[]] })] }, /row 0 of inputs\[0\].data has 0 numbers/],
    ["null", { inputs: [tensor({ data: [null] })] }, /data/],
    ["two lists of rows", { inputs: [tensor({ data: [rows, rows] })] }, /data/],
    [
      "deeper lists",
      { inputs: [tensor({ data: [[rows]] })] },
      /^inputs\[0\].data\[0\]\[0\] is \[\[.*it must be a finite number/,
    ],
    ["more than f32 holds", { inputs: [tensor({ shape: [1, 5], data: [1, 2, 3, 4, 1e39] })] }, /number 4 .* 1e\+39/],
    ["no tensor", { inputs: [] }, /inputs is \[\]/],
    ["log_probs", { inputs: [tensor()], outputs: [{ name: "log_probs" }] }, /outputs\[0\].name is "log_probs"/],
  ];
  test.each(bad)("%s is a 400", async (_, body, message) => {
    const response = await infer(body);
    expect([response.status, await response.json()]).toEqual([400, { error: expect.stringMatching(message) }]);
  });

  test("more than a request may have is a 400 with both numbers", async () => {
    const response = await infer({ inputs: [tensor({ shape: [2049, 5], data: Array(10_245).fill(0) })] }, "icl-mamba");
    expect([response.status, await response.json()]).toEqual([
      400,
      { error: expect.stringMatching(/2049 vectors, a request to icl-mamba@\w+ may have 2048: /) },
    ]);
  });

  test("more than attention holds is a 400 with both numbers", async () => {
    const response = await infer({ inputs: [tensor({ shape: [11, 5], data: Array(55).fill(0) })] }, "icl-short");
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: expect.stringMatching(/11 vectors, .* holds at most 10 positions/),
    });
  });
});
