import { KernelError } from "../backend.ts";

/** The compiled C of src/, twice: with relaxed SIMD (absent where the host cannot compile it) and without. */
export interface WasmModules {
  readonly relaxed: WebAssembly.Module | undefined;
  readonly baseline: WebAssembly.Module;
}

/**
 * The exports of src/*.c. Every argument is a number: a byte address (0 = null), a count, or a stride in f32s.
 * The C files say what each computes and the shapes.
 */
export interface Kernels {
  readonly __heap_base: WebAssembly.Global;
  embed_f32(table: number, dim: number, tokens: number, count: number, u: number, stride: number): void;
  embed_q8(table: number, dim: number, tokens: number, count: number, u: number, stride: number): void;
  embed_q4(table: number, dim: number, tokens: number, count: number, u: number, stride: number): void;
  rms_norm(
    u: number,
    stride: number,
    tokens: number,
    dim: number,
    weight: number,
    eps: number,
    y: number,
    yStride: number,
  ): void;
  layer_norm(
    u: number,
    stride: number,
    tokens: number,
    dim: number,
    weight: number,
    bias: number,
    eps: number,
    y: number,
    yStride: number,
  ): void;
  add_positions(table: number, dim: number, first: number, tokens: number, u: number, stride: number): void;
  attention(
    qkv: number,
    stride: number,
    tokens: number,
    heads: number,
    width: number,
    position: number,
    capacity: number,
    keys: number,
    values: number,
    scores: number,
    y: number,
    yStride: number,
  ): void;
  gelu(x: number, stride: number, tokens: number, width: number): void;
  gelu_tanh(x: number, stride: number, tokens: number, width: number): void;
  gated_add(ab: number, stride: number, tokens: number, dim: number, u: number, uStride: number): void;
  s4d_scan(
    A: number,
    C: number,
    D: number,
    h: number,
    x: number,
    stride: number,
    z: number,
    zStride: number,
    y: number,
    tokens: number,
    channels: number,
    N: number,
  ): void;
  /** relaxed only: one lane of the fused dot, see dot_probe.c. */
  dot_probe?(a: number, b: number): number;
  quantize(x: number, stride: number, tokens: number, cols: number, records: number): void;
  quantize_q4(x: number, stride: number, tokens: number, cols: number, records: number): void;
  interleave(x: number, stride: number, tokens: number, cols: number, tiles: number): void;
  project_q8: Project;
  project_q4: Project;
  project_f32: Project;
  causal_conv(
    x: number,
    stride: number,
    tokens: number,
    channels: number,
    width: number,
    weight: number,
    bias: number,
    state: number,
    out: number,
    outStride: number,
  ): void;
  patches(
    u: number,
    stride: number,
    height: number,
    width: number,
    channels: number,
    kernel: number,
    step: number,
    padding: number,
    transposed: number,
    first: number,
    count: number,
    outWidth: number,
    out: number,
  ): void;
  mean_rows(u: number, stride: number, rows: number, dim: number, y: number): void;
  depthwise_conv(
    x: number,
    stride: number,
    height: number,
    width: number,
    weight: number,
    bias: number,
    out: number,
    outStride: number,
  ): void;
  scan_2d(
    x: number,
    stride: number,
    height: number,
    width: number,
    order: number,
    own: number,
    ownStride: number,
    rank: number,
    weight: number,
    bias: number,
    A: number,
    D: number,
    h: number,
    y: number,
    N: number,
  ): void;
  gate(x: number, stride: number, z: number, zStride: number, tokens: number, width: number): void;
  softplus(dt: number, count: number): void;
  selective_scan(
    A: number,
    D: number,
    h: number,
    dt: number,
    x: number,
    stride: number,
    z: number,
    zStride: number,
    B: number,
    C: number,
    bcStride: number,
    y: number,
    tokens: number,
    channels: number,
    N: number,
  ): void;
  log_sum_exp(logits: number, stride: number, tokens: number, rows: number, totals: number): void;
  read_one_stream(address: number, bytes: number): number;
  read_four_streams(address: number, bytes: number): number;
}

/** y (tokens, stride) = W x + b, or += when `accumulate` is 1; `input` is what quantize or interleave wrote. */
type Project = (
  weight: number,
  rows: number,
  cols: number,
  input: number,
  tokens: number,
  bias: number,
  y: number,
  stride: number,
  accumulate: number,
) => void;

/** Where the modules' stack and constants end and the arena begins. */
export const ARENA_START = 65_536;

/**
 * How a module sums int8 products, all to the same integers (dots.h). The relaxed one: `fused` and `paired` are exact on every host,
 * `signed` and `unsigned`, the fastest, on hosts that read a dot's second operand so. `widened` is the baseline's.
 */
export type Dots = "signed" | "unsigned" | "fused" | "paired" | "widened";

/** Binds a module to a memory of its own; `project_q8`, `project_q4` and `quantize` become those that go with `dots`. */
export async function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  dots: Dots,
): Promise<Kernels> {
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  const plain = dots === "signed" || dots === "unsigned";
  const kernels = {
    ...exports,
    quantize: plain ? exports.quantize_q4 : exports.quantize,
    project_q8: exports[`project_q8_${dots}`],
    project_q4: exports[`project_q4_${plain ? "fused" : dots}`],
  } as unknown as Kernels;
  if (kernels.project_q8 === undefined) throw new KernelError(`this module has no ${dots} dots`);
  if (kernels.__heap_base.value > ARENA_START) {
    throw new KernelError(`the kernels' constants end at ${kernels.__heap_base.value}, beyond ARENA_START: raise it`);
  }
  return kernels;
}
