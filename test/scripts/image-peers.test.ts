import { describe, expect, test } from "vitest";
import {
  columnsOf,
  endsOf,
  imageProducts,
  multiplyAddsOf,
  type Product,
  randomInputs,
  randomWeights,
} from "../../scripts/bench/peers/image-products.ts";
import { encodeOnnx } from "../../scripts/bench/peers/onnx.ts";
import { openOurProducts } from "../../scripts/bench/peers/our-products.ts";
import { message, varint } from "../../scripts/bench/peers/protobuf.ts";
import { VMAMBA_T } from "../../scripts/lib/random-model.ts";
import { blocksOf } from "../../worker/engine/architectures/index.ts";
import { imageCost } from "../../worker/engine/images.ts";
import { distance } from "../kernels/wasm-fixtures.ts";

describe("Protocol Buffers", () => {
  // From protobuf.dev/programming-guides/encoding: field 1 = 150, field 2 = "testing".
  test("numbers and texts are encoded as the guide has them", () => {
    expect([...varint(150)]).toEqual([0x96, 0x01]);
    expect([...message([[1, 150]])]).toEqual([0x08, 0x96, 0x01]);
    expect([...message([[2, "testing"]])]).toEqual([0x12, 7, ...Buffer.from("testing")]);
    expect([...message([[3, message([[1, 150]])]])]).toEqual([0x1a, 3, 0x08, 0x96, 0x01]);
    expect([...varint(2 ** 35)]).toEqual([0x80, 0x80, 0x80, 0x80, 0x80, 0x01]);
    for (const wrong of [-1, 0.5, 2 ** 60]) expect(() => varint(wrong)).toThrow(RangeError);
  });

  test("an ONNX file names its parts", () => {
    const bytes = encodeOnnx({
      nodes: [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"], attributes: { a: 3, b: [1, 2] } }],
      weights: [{ name: "w", shape: [1, 1], data: Float32Array.of(0.5) }],
      inputs: [{ name: "x", shape: [1, 1] }],
      outputs: [{ name: "y", shape: [1, 1] }],
    });
    // ir_version 8; graph with a node: inputs x and w, output y, op_type MatMul, attribute a: i = 3, type INT, then b: ints, type INTS.
    const node = [0x0a, 1, 120, 0x0a, 1, 119, 0x12, 1, 121, 0x22, 6, ...Buffer.from("MatMul")];
    const attributes = [0x2a, 8, 0x0a, 1, 97, 0x18, 3, 0xa0, 1, 2, 0x2a, 10, 0x0a, 1, 98, 0x40, 1, 0x40, 2, 0xa0, 1, 7];
    expect([...bytes.subarray(0, 2)]).toEqual([0x08, 8]);
    expect(Buffer.from(bytes).includes(Buffer.from([...node, ...attributes]))).toBe(true);
    const tensor = [0x08, 1, 0x08, 1, 0x10, 1, 0x42, 1, 119, 0x4a, 4, 0, 0, 0, 0x3f];
    expect(Buffer.from(bytes).includes(Buffer.from(tensor))).toBe(true);
    expect(Buffer.from(bytes).includes("com.microsoft")).toBe(true);
  });
});

describe("the products of an image model", () => {
  test("are nearly all its multiply-adds: the rest are scans, the steps' projections and the head", () => {
    const blocks = blocksOf("vmamba", VMAMBA_T);
    const image = { height: 224, width: 224 };
    const { inputs, list } = imageProducts(blocks, image);
    // 5 convolutions, and of 14 blocks in_proj, depthwise, x_proj, out_proj and both of the MLP.
    expect(list).toHaveLength(5 + 14 * 6);
    expect(inputs.map(({ channels }) => channels)).toEqual([3, 96, 192, 384, 768]);
    const share = list.reduce((sum, product) => sum + multiplyAddsOf(product), 0) / imageCost(blocks, image);
    expect(share).toBeGreaterThan(0.95);
    expect(share).toBeLessThan(1);
  });

  const sizes = { dims: "16 40", depths: "2 1", inners: "16 40", dtRanks: "2 3", hiddens: "37 64", classes: 3 };
  const tiny = imageProducts(blocksOf("vmamba", { ...VMAMBA_T, ...sizes }), { height: 22, width: 38 });

  /** The same in f64. */
  function expected(weights: ReadonlyMap<string, Float32Array>, inputs: ReadonlyMap<string, Float32Array>) {
    const values = new Map<string, Float64Array>([...inputs].map(([name, v]) => [name, Float64Array.from(v)]));
    for (const p of tiny.list) values.set(p.name, product(p, weights.get(p.name)!, values.get(p.reads)!));
    return values;
  }

  function product(p: Product, w: Float32Array, x: Float64Array): Float64Array {
    const { from, to, kernel, inputs } = p;
    const alone = p.kind === "depthwise";
    const columns = columnsOf(p);
    const y = new Float64Array(to.height * to.width * p.outputs);
    for (const i of y.keys()) {
      const [position, output] = [Math.floor(i / p.outputs), i % p.outputs];
      for (let c = 0; c < columns; c++) {
        const tap = alone ? c : Math.floor(c / inputs);
        const row = Math.floor(position / to.width) * p.stride - p.padding + Math.floor(tap / kernel);
        const column = (position % to.width) * p.stride - p.padding + (tap % kernel);
        if (row < 0 || row >= from.height || column < 0 || column >= from.width) continue;
        const channel = alone ? output : c % inputs;
        y[i]! += w[output * columns + c]! * x[(row * from.width + column) * inputs + channel]!;
      }
    }
    return y;
  }

  test.each([
    ["f32", 1e-5],
    ["q8", 0.06],
  ] as const)("our kernels compute them, %s", async (encoding, most) => {
    const [weights, inputs] = [randomWeights(tiny), randomInputs(tiny)];
    const ours = await openOurProducts(tiny, weights, inputs, encoding);
    ours.run();
    ours.run(); // nothing is left of a run
    const values = expected(weights, inputs);
    expect(endsOf(tiny)).toHaveLength(3 + 3 + 2);
    for (const end of endsOf(tiny)) {
      const own = values.get(end.name)!;
      const wanted = end.kind === "depthwise" ? own.map((v) => v / (1 + Math.exp(-v))) : own;
      expect(distance(ours.output(end), Float32Array.from(wanted))).toBeLessThan(most);
    }
  });

  test("a gated model is refused", () => {
    expect(() => imageProducts(blocksOf("vmamba", { ...VMAMBA_T, gated: true }), { height: 64, width: 64 })).toThrow(
      /not gated/,
    );
  });
});
