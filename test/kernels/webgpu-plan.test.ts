import { describe, expect, test } from "vitest";
import type { Encoding } from "../../kernels/backend.ts";
import { makePlan } from "../../kernels/webgpu/plan.ts";
import { LOGIT_ROWS } from "../../kernels/webgpu/wgsl/logits.ts";
import { MAMBA_130M, tensorsOf } from "../../scripts/bench/webgpu/models.ts";

const MIB = 2 ** 20;
const planOf = (encoding: Encoding, limit: number, matrixLimit?: number) => {
  const { blocks, tensors } = tensorsOf({ ...MAMBA_130M, layers: 2 }, encoding);
  return makePlan(blocks, tensors, { maxTokens: 64 }, limit, matrixLimit === undefined ? {} : { matrixLimit });
};

describe("a model's memory before a device is touched", () => {
  test("a Mamba block's weights are one buffer: in f32 they are refused where it cannot be bound, in q8 they fit", () => {
    expect(() => planOf("f32", 8 * MIB)).toThrow(
      /^Mamba block 0 has 15\d{6} bytes, this device binds 8388608: quantize the model$/,
    );
    const [first] = planOf("q8", 16 * MIB).blockWeights;
    expect(first!.bytes).toBeLessThan(5 * MIB);
    for (const place of [...first!.matrices.values(), first!.vectors]) expect(place % 256).toBe(0);
  });

  test("what the plan counts as weights is what is loaded, and at most a tenth for padding", () => {
    for (const encoding of ["f32", "q8", "q4"] as const) {
      const { memory, tensors } = planOf(encoding, 256 * MIB);
      const loaded = Array.from(tensors.values(), ({ bytes }) => bytes).reduce((a, b) => a + b, 0);
      expect(memory.weights).toBeGreaterThanOrEqual(loaded);
      expect(memory.weights).toBeLessThan(1.1 * loaded);
    }
  });

  test("the head is cut between groups of logits, so that each group's best is one workgroup's", () => {
    const { parts, rows } = planOf("f32", 128 * MIB, 50 * MIB).matrices.get("embedding")!;
    expect(parts.length).toBe(3);
    for (const { firstRow } of parts) expect(firstRow % LOGIT_ROWS).toBe(0);
    expect(8 * parts.reduce((sum, { tileRows }) => sum + tileRows, 0)).toBe(rows);
  });
});
