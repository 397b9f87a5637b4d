import { packQ4, packQ8 } from "../../weights/layout.ts";
import { KernelError } from "../backend.ts";
import { ARENA_START, type Dots, instantiate, type Kernels, type WasmModules } from "./kernels.ts";

export type Simd = "relaxed" | "baseline";

/** A function with one i32x4.relaxed_dot_i8x16_i7x16_add_s: valid where relaxed SIMD is on. */
// biome-ignore format: one line an instruction or section
const RELAXED_PROBE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
  0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, // type () → v128
  0x03, 0x02, 0x01, 0x00,
  0x0a, 0x13, 0x01, 0x11, 0x00,
  0x41, 0x00, 0xfd, 0x0f, // i8x16.splat (i32.const 0)
  0x41, 0x00, 0xfd, 0x0f,
  0x41, 0x00, 0xfd, 0x0f,
  0xfd, 0x93, 0x02, // i32x4.relaxed_dot_i8x16_i7x16_add_s
  0x0b,
]);

/** Whether this host compiles relaxed SIMD; where it does not, the relaxed module need not be fetched. */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(RELAXED_PROBE);
}

/** What to run: a module, and its way to sum products. */
export interface Choice {
  readonly simd: Simd;
  readonly dots: Dots;
}

/**
 * "auto" takes the relaxed module when it is there and computes exactly: Node 20 behind its flag does not.
 * @throws KernelError when what was asked for is not there or not exact
 */
export async function chooseSimd(modules: WasmModules, simd: Simd | "auto", dots: Dots | "auto"): Promise<Choice> {
  const relaxed = modules.relaxed;
  if (simd !== "baseline" && dots !== "widened" && relaxed !== undefined) {
    for (const kind of dots === "auto" ? [await fastestDots(relaxed), "fused" as const] : [dots]) {
      if (await isExact(relaxed, kind)) return { simd: "relaxed", dots: kind };
    }
  }
  if (simd === "relaxed" || (dots !== "auto" && dots !== "widened")) {
    throw new KernelError(`relaxed SIMD is missing here, or its integer dots are not exact: use simd "auto"`);
  }
  if (await isExact(modules.baseline, "widened")) return { simd: "baseline", dots: "widened" };
  throw new KernelError("this host's WebAssembly SIMD computes wrong integer dots: no kernel can run on it");
}

/**
 * Time stands still in an edge worker, so nothing can be measured there; but the fused dot tells how it is made when its second operand
 * is 255, where hosts may differ: it is read as 255 or as −1, or the instruction is made of five, whose products go through i16 and
 * saturate at 32767, twice.
 */
async function fastestDots(relaxed: WebAssembly.Module): Promise<Dots> {
  const kernels = await instantiate(relaxed, new WebAssembly.Memory({ initial: 3 }), "fused");
  switch (kernels.dot_probe?.(127, 255)) {
    case 4 * 127 * 255:
      return "unsigned";
    case -4 * 127:
      return "signed";
    case 2 * 32_767:
      return "paired";
    default:
      return "fused";
  }
}

async function isExact(module: WebAssembly.Module, dots: Dots): Promise<boolean> {
  const memory = new WebAssembly.Memory({ initial: 3 });
  return computesExactly(await instantiate(module, memory, dots), memory);
}

/**
 * Known-answer test of the integer dots: q8 and q4 weights of scale 1 times whole activations must give the exact integers, for every
 * shape of register tile and every extreme (−128 and ±127; −8 and 7).
 */
export function computesExactly(
  kernels: Pick<Kernels, "quantize" | "quantize_q4" | "project_q8" | "project_q4">,
  memory: WebAssembly.Memory,
): boolean {
  const rows = 56; // 4 + 2 + 1 row blocks: every way the streams are cut
  const cols = 64;
  const input = ARENA_START + 16_384;
  const records = input + 8_192;
  const output = records + 16_384;
  const scales = new Uint16Array(rows * 2).fill(0x3f80);
  for (const encoding of ["q8", "q4"] as const) {
    const q8 = encoding === "q8";
    const values = Int8Array.from({ length: rows * cols }, (_, i) => (q8 ? pattern(i, -128) : pattern(i, -128) >> 4));
    const matrix = { rows, cols, values, scales };
    new Uint8Array(memory.buffer).set(q8 ? packQ8(matrix) : packQ4(matrix), ARENA_START);
    for (let tokens = 1; tokens <= 7; tokens++) {
      const x = Float32Array.from({ length: tokens * cols }, (_, i) =>
        i % 32 === 0 ? 127 : pattern(i * 7 + tokens, -127),
      );
      new Float32Array(memory.buffer, input, x.length).set(x);
      (q8 ? kernels.quantize : kernels.quantize_q4)(input, cols, tokens, cols, records);
      kernels[`project_${encoding}`](ARENA_START, rows, cols, records, tokens, 0, output, rows, 0);
      const y = new Float32Array(memory.buffer, output, tokens * rows);
      for (let t = 0; t < tokens; t++) {
        for (let r = 0; r < rows; r++) {
          if (y[t * rows + r] !== dot(values, r * cols, x, t * cols, cols)) return false;
        }
      }
    }
  }
  return true;
}

/** A function of its own: called often, it is soon compiled well, and a cold start waits for this test. */
function dot(w: Int8Array, wAt: number, x: Float32Array, xAt: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += w[wAt + i]! * x[xAt + i]!;
  return sum;
}

/** Runs of extremes, then values that look random. */
function pattern(i: number, least: number): number {
  const hash = Math.imul(i + 1, 0x9e3779b1) >>> 0;
  switch (hash % 4) {
    case 0:
      return least;
    case 1:
      return 127;
    default:
      return ((hash >>> 8) % 255) - 127;
  }
}
