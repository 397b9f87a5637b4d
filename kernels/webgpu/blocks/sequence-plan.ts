import { type CompileOptions, KernelError, type MemoryPlan, type TensorSpec } from "../../backend.ts";
import { type Block, inputWidth, outputWidth, positionLimit } from "../../blocks.ts";
import { checkCount, checkOrder } from "../../check.ts";
import { stateLayout } from "../../state.ts";
import { mambaSizes, pad } from "../sizes.ts";
import { PRODUCT_TILE } from "../wgsl/product.ts";
import { checkSizes } from "./kernels.ts";
import { MOST_GROUPS } from "./launches.ts";
import { planTensors, type TensorPlan } from "./tensors.ts";

const DEFAULT_TOKENS = 512;
const DEFAULT_SEQUENCES = 8;
/** Positions whose logits exist at once. */
export const HEAD_ROWS = 64;

/** Buffers of (tokens, width) f32s. */
export type SequenceBuffer = "vectors" | "u" | "next" | "normed" | "first" | "x" | "dt" | "y" | "bc" | "dbc" | "logits";

/** Where a block's part of a state lies in a sequence's buffer. */
export interface StatePlace {
  /** bytes, a multiple of 256. */
  readonly offset: number;
  /** f32s: of what grows, at most. */
  readonly length: number;
  /** f32s a position of what grows; 0 where nothing does. */
  readonly each: number;
}

/** Everything that can be known of a model of sequences before a device is touched. */
export interface SequencePlan {
  readonly tensors: TensorPlan;
  readonly blocks: readonly Block[];
  readonly maxTokens: number;
  readonly maxSequences: number;
  /** of each buffer. */
  readonly strides: Readonly<Record<SequenceBuffer, number>>;
  readonly rows: (buffer: SequenceBuffer) => number;
  /** that go through a block in a pass at most. */
  readonly positions: (block: number) => number;
  /** by block; undefined where it has none. */
  readonly states: readonly (StatePlace | undefined)[];
  /** bytes of a sequence's buffer, and in it those in front of what grows. */
  readonly stateBytes: number;
  readonly fixedStateBytes: number;
  readonly memory: MemoryPlan;
}

/** @throws KernelError */
export function planSequences(
  blocks: readonly Block[],
  specs: ReadonlyMap<string, TensorSpec>,
  options: CompileOptions,
  bindingLimit: number,
  matrixLimit = bindingLimit,
): SequencePlan {
  checkOrder(blocks);
  const tensors = planTensors(blocks, specs, bindingLimit, matrixLimit);
  checkSizes(blocks);
  const maxTokens = checkCount("maxTokens", options.maxTokens, DEFAULT_TOKENS);
  if (maxTokens > MOST_GROUPS) {
    throw new KernelError(`maxTokens is ${maxTokens}, the webgpu backend takes up to ${MOST_GROUPS}: cut the spans`);
  }
  const strides = stridesOf(blocks);
  const rows = (buffer: SequenceBuffer): number => (buffer === "logits" ? HEAD_ROWS : pad(maxTokens, PRODUCT_TILE));
  let activations = 0;
  for (const [name, stride] of Object.entries(strides) as [SequenceBuffer, number][]) {
    const bytes = 4 * stride * rows(name);
    activations += bytes;
    if (bytes > bindingLimit) {
      throw new KernelError(
        `${maxTokens} tokens in a pass need ${bytes} bytes for ${name}, this device binds ${bindingLimit}: compile with a smaller maxTokens`,
      );
    }
  }
  const { states, bytes: stateBytes, fixed: fixedStateBytes } = placeStates(blocks, bindingLimit);
  return {
    tensors,
    blocks,
    maxTokens,
    maxSequences: checkCount("maxSequences", options.maxSequences, DEFAULT_SEQUENCES),
    strides,
    rows,
    positions: () => maxTokens,
    states,
    stateBytes,
    fixedStateBytes,
    memory: { weights: tensors.bytes, activations, statePerSequence: stateBytes },
  };
}

function stridesOf(blocks: readonly Block[]): Record<SequenceBuffer, number> {
  const dim = pad(blocks[0]!.dim, 32);
  const strides = {
    vectors: pad(inputWidth(blocks), 4),
    ...{ u: dim, next: dim, normed: dim },
    ...{ first: 0, x: 0, dt: 0, y: 0, bc: 0, dbc: 0 },
    logits: pad(outputWidth(blocks), 8),
  };
  const most = (widths: Partial<Record<SequenceBuffer, number>>): void => {
    for (const [name, width] of Object.entries(widths) as [SequenceBuffer, number][])
      strides[name] = Math.max(strides[name], pad(width, 8));
  };
  for (const block of blocks) {
    switch (block.kind) {
      case "attention":
        most({ first: 3 * block.dim, y: block.dim });
        break;
      case "mlp":
        most({ first: block.hidden });
        break;
      case "s4d":
        most({ first: 2 * block.dim, y: block.dim });
        break;
      case "s4-mamba":
        most({ first: 2 * block.inner, x: block.inner, y: block.inner });
        break;
      case "mamba": {
        const { innerPad, xTileRows, dbcStride } = mambaSizes(block);
        most({ first: 2 * block.inner, x: innerPad, dt: innerPad, y: innerPad, bc: 8 * xTileRows, dbc: dbcStride });
        break;
      }
    }
  }
  // The scan has one stride for what it reads and writes.
  const channels = Math.max(strides.x, strides.dt, strides.y);
  return { ...strides, x: channels, dt: Math.min(strides.dt, 1) * channels, y: channels };
}

/** What is of a fixed length first; each part from a multiple of 256 on, as bindings want it. */
function placeStates(
  blocks: readonly Block[],
  bindingLimit: number,
): { states: (StatePlace | undefined)[]; bytes: number; fixed: number } {
  const most = Number.isFinite(positionLimit(blocks)) ? positionLimit(blocks) : 0;
  const parts = stateLayout(blocks, most);
  const states: (StatePlace | undefined)[] = blocks.map(() => undefined);
  let [bytes, fixed] = [0, 0];
  for (const growing of [false, true]) {
    blocks.forEach((block, i) => {
      const length = parts.filter((p) => p.block === i).reduce((sum, p) => sum + p.length, 0);
      if (length === 0 || (block.kind === "attention") !== growing) return;
      if (4 * length > bindingLimit) {
        throw new KernelError(
          `the state of block ${i} (${block.kind}) has ${4 * length} bytes, this device binds ${bindingLimit}: run it on wasm`,
        );
      }
      states[i] = { offset: bytes, length, each: growing ? 2 * block.dim : 0 };
      bytes += pad(4 * length, 256);
      if (!growing) fixed = bytes;
    });
  }
  return { states, bytes, fixed };
}
