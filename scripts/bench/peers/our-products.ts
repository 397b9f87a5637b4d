import { Arena, PAGE, roundUp } from "../../../kernels/wasm/arena.ts";
import { channelStride, PIECE, streamStride } from "../../../kernels/wasm/image-layout.ts";
import { createWasmBackend } from "../../../kernels/wasm/index.ts";
import { ARENA_START, instantiate, type Kernels } from "../../../kernels/wasm/kernels.ts";
import { RECORD_BYTES } from "../../../kernels/wasm/layout.ts";
import { loadWasmModules } from "../../../kernels/wasm/node.ts";
import { blockedIndex, CHANNELS } from "../../../kernels/wasm/tensors.ts";
import { encodedBytes, GROUP, packQ8 } from "../../../weights/layout.ts";
import { quantizeQ8 } from "../../../weights/quantize.ts";
import { columnsOf, type ImageProducts, type Product } from "./image-products.ts";

export interface OurProducts {
  /** name of the SIMD variant. */
  readonly simd: string;
  run(): void;
  /** (height · width, channels) of a product that is no `up` of an MLP: that is never whole. Depthwise ones end with silu. */
  output(product: Product): Float32Array;
}

interface Values {
  readonly address: number;
  readonly stride: number;
}

/**
 * This project's kernels on the products of an image model, in pieces as the model runs them: 64 positions through a matrix, or through both
 * of an MLP, and 16 channels of a depthwise convolution at a time. Stems stay f32 as in the model.
 */
export async function openOurProducts(
  products: ImageProducts,
  weights: ReadonlyMap<string, Float32Array>,
  inputs: ReadonlyMap<string, Float32Array>,
  encoding: "f32" | "q8",
): Promise<OurProducts> {
  const modules = await loadWasmModules();
  const { simd, dots } = await createWasmBackend(modules);
  const arena = new Arena(ARENA_START);
  const encodings = new Map(products.list.map((p) => [p.name, encodingOf(p, encoding)]));
  const matrices = new Map(products.list.map((p) => [p.name, arena.take(matrixBytes(p, encodings.get(p.name)!))]));
  const values = new Map<string, Values>();
  const room = (name: string, channels: number, positions: number, stride: number): void => {
    values.set(name, { stride, address: arena.takeF32(positions * stride + CHANNELS) });
    if (channels > stride) throw new RangeError(`${name} has ${channels} channels in rows of ${stride}`);
  };
  for (const { name, channels, size } of products.inputs)
    room(name, channels, size.height * size.width, name === "image" ? channels : streamStride(channels));
  for (const p of products.list) {
    // Of an MLP's hidden values there is one piece.
    const positions = isHidden(p, products) ? PIECE : p.to.height * p.to.width;
    room(p.name, p.outputs, positions, (p.kind === "depthwise" ? channelStride : streamStride)(p.outputs));
  }
  const columns = Math.max(...products.list.map(columnsOf));
  const piece = arena.takeF32(PIECE * columns);
  const input = arena.take(PIECE * Math.max(4 * columns, RECORD_BYTES * Math.ceil(columns / GROUP)));
  const memory = new WebAssembly.Memory({ initial: roundUp(arena.top, PAGE) / PAGE });
  const kernels = await instantiate(modules[simd] as WebAssembly.Module, memory, dots);
  const f32 = new Float32Array(memory.buffer);
  for (const p of products.list) {
    new Uint8Array(memory.buffer).set(encode(p, weights.get(p.name)!, encodings.get(p.name)!), matrices.get(p.name)!);
  }
  for (const { name, channels } of products.inputs) {
    const { address, stride } = values.get(name)!;
    const data = inputs.get(name)!;
    for (let at = 0, row = address / 4; at < data.length; at += channels, row += stride)
      f32.set(data.subarray(at, at + channels), row);
  }
  const place = (p: Product): Placed => ({
    ...p,
    encoding: encodings.get(p.name)!,
    matrix: matrices.get(p.name)!,
    x: values.get(p.reads)!,
    y: values.get(p.name)!,
  });
  const steps = products.list
    .filter((p) => !isHidden(p, products))
    .map((p) => {
      const up = products.list.find((other) => other.name === p.reads && isHidden(other, products));
      return up === undefined ? [place(p)] : [place(up), place(p)];
    });
  return {
    simd,
    run() {
      for (const step of steps) runStep(kernels, step, piece, input);
    },
    output(p) {
      const { address, stride } = values.get(p.name)!;
      const out = new Float32Array(p.to.height * p.to.width * p.outputs);
      for (let at = 0, row = address / 4; at < out.length; at += p.outputs, row += stride)
        out.set(f32.subarray(row, row + p.outputs), at);
      return out;
    },
  };
}

interface Placed extends Product {
  readonly encoding: "f32" | "q8";
  readonly matrix: number;
  readonly x: Values;
  readonly y: Values;
}

function runStep(kernels: Kernels, step: readonly Placed[], piece: number, input: number): void {
  const [first] = step as [Placed];
  const { height, width } = first.to;
  if (first.kind === "depthwise") {
    const { x, y, matrix } = first;
    for (let c = 0; c < first.outputs; c += CHANNELS)
      kernels.depthwise_conv(
        x.address + 4 * c,
        x.stride,
        height,
        width,
        matrix + 36 * c,
        0,
        y.address + 4 * c,
        y.stride,
      );
    return;
  }
  for (let at = 0; at < height * width; at += PIECE) {
    const count = Math.min(PIECE, height * width - at);
    for (const { kind, x, y, matrix, outputs, encoding, ...p } of step) {
      const columns = p.kernel ** 2 * p.inputs;
      let from = x.address + (step.length > 1 && p.name !== first.name ? 0 : 4 * at * x.stride);
      let stride = x.stride;
      if (kind === "conv") {
        const { height, width } = p.from;
        kernels.patches(
          x.address,
          stride,
          height,
          width,
          p.inputs,
          p.kernel,
          p.stride,
          p.padding,
          0,
          at,
          count,
          p.to.width,
          piece,
        );
        [from, stride] = [piece, columns];
      }
      const isF32 = encoding === "f32";
      (isF32 ? kernels.interleave : kernels.quantize)(from, stride, count, columns, input);
      const project = isF32 ? kernels.project_f32 : kernels.project_q8;
      const to = y.address + (step.length > 1 && p.name === first.name ? 0 : 4 * at * y.stride);
      project(matrix, outputs, columns, input, count, 0, to, y.stride, 0);
    }
  }
}

/** The wider values inside an MLP. */
function isHidden({ kind, name, outputs, inputs }: Product, { list }: ImageProducts): boolean {
  return kind === "projection" && outputs > inputs && list.some(({ reads }) => reads === name);
}

function encodingOf({ kind, reads, name }: Product, encoding: "f32" | "q8"): "f32" | "q8" {
  return kind === "depthwise" || reads === "image" || name.startsWith("stem") ? "f32" : encoding;
}

function lanesOf({ kind }: Product): number {
  return kind === "depthwise" ? CHANNELS : 8;
}

function matrixBytes(p: Product, encoding: "f32" | "q8"): number {
  const rows = encoding === "f32" ? roundUp(p.outputs, lanesOf(p)) : p.outputs;
  return encodedBytes([rows, columnsOf(p)], encoding);
}

/** As the model's loader has them: q8 tiles, or f32 in blocks of rows. */
function encode(p: Product, data: Float32Array, encoding: "f32" | "q8"): Uint8Array {
  const columns = columnsOf(p);
  if (encoding === "q8") return packQ8(quantizeQ8(p.outputs, columns, data));
  const lanes = lanesOf(p);
  const blocked = new Float32Array(roundUp(p.outputs, lanes) * columns);
  for (let r = 0; r < p.outputs; r++) {
    for (let c = 0; c < columns; c++) blocked[blockedIndex(r, c, columns, lanes)] = data[r * columns + c]!;
  }
  return new Uint8Array(blocked.buffer);
}
