import { columnsOf, endsOf, type ImageProducts, type Product } from "./image-products.ts";
import { importPeer, peerVersion } from "./install.ts";
import { encodeOnnx, type OnnxNode, type OnnxTensor } from "./onnx.ts";

/** What is used of onnxruntime-web. */
interface Ort {
  readonly env: { readonly wasm: { numThreads: number }; logLevel: string };
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  readonly Tensor: new (type: "float32", data: Float32Array, shape: readonly number[]) => OrtTensor;
}
interface OrtTensor {
  readonly data: Float32Array;
  dispose(): void;
}
interface Session {
  run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

export interface OrtProducts {
  readonly name: string;
  run(): Promise<void>;
  /** (height · width, channels) of one of the ends, after a run. */
  output(product: Product): Float32Array;
  close(): Promise<void>;
}

/**
 * The same products in onnxruntime-web on its WebAssembly backend, one thread, in Node: dense and depthwise convolutions as Conv on (1, C, H,
 * W), projections as MatMul on (H · W, C): no layout is changed on the way. In int8 projections are DynamicQuantizeMatMul, which rounds
 * activations to 8 bits as ours do, weights with a scale a row; convolutions stay Conv in f32, as ConvInteger is slower there.
 */
export async function openOrtProducts(
  products: ImageProducts,
  weights: ReadonlyMap<string, Float32Array>,
  inputs: ReadonlyMap<string, Float32Array>,
  form: "f32" | "int8",
): Promise<OrtProducts> {
  const ort = await importPeer<Ort & { default?: Ort }>("onnxruntime-web");
  ort.env.wasm.numThreads = 1;
  const ends = endsOf(products);
  const parts = products.list.map((p) => partOf(p, weights.get(p.name)!, form));
  const shapeOf = (
    p: { kind?: string; name: string },
    channels: number,
    positions: { height: number; width: number },
  ) =>
    isPicture(p) ? [1, channels, positions.height, positions.width] : [positions.height * positions.width, channels];
  const model = encodeOnnx({
    nodes: parts.map(({ node }) => node),
    weights: parts.flatMap(({ tensors }) => tensors),
    inputs: products.inputs.map(({ name, channels, size }) => ({ name, shape: shapeOf({ name }, channels, size) })),
    outputs: ends.map((p) => ({ name: p.name, shape: shapeOf(p, p.outputs, p.to) })),
  });
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
  });
  const feeds = Object.fromEntries(
    products.inputs.map(({ name, channels, size }) => {
      const data = inputs.get(name)!;
      const shape = shapeOf({ name }, channels, size);
      return [name, new ort.Tensor("float32", isPicture({ name }) ? transposed(data, channels) : data, shape)];
    }),
  );
  let seen: Record<string, OrtTensor> = {};
  return {
    name: `onnxruntime-web ${peerVersion("onnxruntime-web")}`,
    async run() {
      seen = await session.run(feeds);
    },
    output(p) {
      const { data } = seen[p.name]!;
      return isPicture(p) ? transposed(data, p.to.height * p.to.width) : data;
    },
    close: () => session.release(),
  };
}

/** Whether values lie as (1, C, H, W). */
function isPicture({ kind, name }: { readonly kind?: string; readonly name: string }): boolean {
  return kind === "conv" || kind === "depthwise" || name === "image";
}

/** (rows, columns) → (columns, rows). */
function transposed(data: Float32Array, columns: number): Float32Array {
  const rows = data.length / columns;
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  return out;
}

function partOf(p: Product, data: Float32Array, form: "f32" | "int8"): { node: OnnxNode; tensors: OnnxTensor[] } {
  const name = `${p.name}/w`;
  const outputs = [p.name];
  if (p.kind !== "projection") {
    const { kernel, stride, padding, inputs } = p;
    const group = p.kind === "depthwise" ? inputs : 1;
    const attributes = {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      group,
    };
    const shape = [p.outputs, inputs / group, kernel, kernel];
    const node = { op: "Conv", inputs: [p.reads, name], outputs, attributes };
    return { node, tensors: [{ name, shape, data: byChannel(data, kernel ** 2, inputs / group) }] };
  }
  const shape = [p.inputs, p.outputs];
  const columns = transposed(data, columnsOf(p));
  if (form === "f32") {
    return { node: { op: "MatMul", inputs: [p.reads, name], outputs }, tensors: [{ name, shape, data: columns }] };
  }
  const scales = Float32Array.from({ length: p.outputs }, (_, r) => {
    return Math.max(...data.subarray(r * p.inputs, (r + 1) * p.inputs).map(Math.abs)) / 127;
  });
  const integers = Int8Array.from(columns, (v, i) => Math.round(v / scales[i % p.outputs]!));
  const inputs = [p.reads, name, `${name}/scale`, `${name}/zero`];
  return {
    node: { op: "DynamicQuantizeMatMul", domain: "com.microsoft", inputs, outputs },
    tensors: [
      { name, shape, data: integers },
      { name: `${name}/scale`, shape: [p.outputs], data: scales },
      { name: `${name}/zero`, shape: [p.outputs], data: new Int8Array(p.outputs) },
    ],
  };
}

/** Rows of (kernel², channels) → (channels, kernel²). */
function byChannel(data: Float32Array, taps: number, channels: number): Float32Array {
  const width = taps * channels;
  const out = new Float32Array(data.length);
  for (let row = 0; row < data.length; row += width)
    out.set(transposed(data.subarray(row, row + width), channels), row);
  return out;
}
