import type { Backend, TensorSpec } from "../../kernels/backend.ts";
import { createReferenceBackend } from "../../kernels/reference/index.ts";
import { GROUP } from "../../weights/layout.ts";

/**
 * The reference on activations as the wasm backend rounds them where a matrix is quantized: to int8, in groups of 32 columns. Next to it a
 * mistake shows that next to exact activations would pass for rounding.
 */
export const roundingReference: Backend = {
  ...createReferenceBackend(),
  compile(blocks, tensors, options) {
    const backend = createReferenceBackend((name, x) => (isQuantized(tensors.get(name)) ? round(x) : undefined));
    return backend.compile(blocks, tensors, options);
  },
};

function isQuantized(spec: TensorSpec | undefined): boolean {
  return spec !== undefined && spec.encoding !== "f32";
}

/** As kernels/wasm/src/rounding.h, f32 steps included. */
function round(x: Float64Array): Float64Array {
  const { fround } = Math;
  const rounded = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += GROUP) {
    const group = x.subarray(first, first + GROUP);
    const largest = fround(Math.max(...group.map(Math.abs)));
    const [scale, inverse] = [fround(largest * fround(1 / 127)), fround(127 / largest)];
    if (largest < 1e-20) continue;
    rounded.set(
      group.map((v) => scale * halfEven(fround(v * inverse))),
      first,
    );
  }
  return rounded;
}

function halfEven(v: number): number {
  const shift = 1.5 * 2 ** 52;
  return v + shift - shift;
}
