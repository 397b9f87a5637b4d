import { message } from "./protobuf.ts";

/** ONNX files (onnx/onnx.proto, IR version 8), as much of them as convolutions and products need. */
export interface OnnxNode {
  readonly op: string;
  /** com.microsoft for what ONNX Runtime alone has. */
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
}

export interface OnnxTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int8Array;
}

export interface OnnxValue {
  readonly name: string;
  /** of f32s. */
  readonly shape: readonly number[];
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly weights: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

const IR_VERSION = 8;
const OPSET = 17;
const FLOAT = 1;
const INT8 = 3;
/** Kinds of attributes: a whole number, a list of them. */
const INT = 2;
const INTS = 7;

/** The bytes of a model file. */
export function encodeOnnx({ nodes, weights, inputs, outputs }: OnnxGraph): Uint8Array {
  const graph = message([
    ...nodes.map((node) => [1, encodeNode(node)] as const),
    [2, "products"],
    ...weights.map((tensor) => [5, encodeTensor(tensor)] as const),
    ...inputs.map((value) => [11, encodeValue(value)] as const),
    ...outputs.map((value) => [12, encodeValue(value)] as const),
  ]);
  const opset = (domain: string, version: number) =>
    [
      8,
      message([
        [1, domain],
        [2, version],
      ]),
    ] as const;
  return message([[1, IR_VERSION], [7, graph], opset("", OPSET), opset("com.microsoft", 1)]);
}

function encodeNode({ op, domain, inputs, outputs, attributes = {} }: OnnxNode): Uint8Array {
  return message([
    ...inputs.map((name) => [1, name] as const),
    ...outputs.map((name) => [2, name] as const),
    [4, op],
    ...Object.entries(attributes).map(([name, value]) => [5, encodeAttribute(name, value)] as const),
    ...(domain === undefined ? [] : [[7, domain] as const]),
  ]);
}

function encodeAttribute(name: string, value: number | readonly number[]): Uint8Array {
  if (typeof value === "number")
    return message([
      [1, name],
      [3, value],
      [20, INT],
    ]);
  return message([[1, name], ...value.map((v) => [8, v] as const), [20, INTS]]);
}

function encodeTensor({ name, shape, data }: OnnxTensor): Uint8Array {
  return message([
    ...shape.map((n) => [1, n] as const),
    [2, data instanceof Int8Array ? INT8 : FLOAT],
    [8, name],
    [9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)],
  ]);
}

function encodeValue({ name, shape }: OnnxValue): Uint8Array {
  const dimensions = message(shape.map((n) => [1, message([[1, n]])] as const));
  const tensor = message([
    [1, FLOAT],
    [2, dimensions],
  ]);
  return message([
    [1, name],
    [2, message([[1, tensor]])],
  ]);
}
