import { GROUP } from "../../weights/layout.ts";
import type { CompileOptions, MemoryPlan, TensorSpec } from "../backend.ts";
import { type Block, inputWidth } from "../blocks.ts";
import { checkCount, checkOrder } from "../check.ts";
import { type StatePart, stateLayout } from "../state.ts";
import { Arena, apart, PAGE, roundUp } from "./arena.ts";
import { ARENA_START } from "./kernels.ts";
import { placeBlock } from "./place-block.ts";
import { type PlacedBlock, type Projection, projectionsOf, ROWS, widthsOf } from "./placed.ts";
import { CHANNELS, type Place, placeTensors } from "./tensors.ts";

export type { PlacedBlock, PlacedMamba, Projection } from "./placed.ts";

const DEFAULT_TOKENS = 64;
const DEFAULT_SEQUENCES = 8;
/** log_sum_exp.c sums in units of so many rows. */
export const HEAD_UNIT = 64;
/** record.h: a group of 32 columns of a token. */
export const RECORD_BYTES = 72;

/** Addresses of the activations, shared by all blocks. */
export interface Buffers {
  /** token ids (maxTokens) i32. */
  readonly tokens: number;
  /** (maxTokens, inputs): what a model that begins with a read-in is fed. */
  readonly vectors: number;
  /** residual stream (maxTokens, uStride). */
  readonly u: number;
  readonly uStride: number;
  /** normalized u, then the conv's output and the scan's or attention's y: (maxTokens, the widest). */
  readonly x: number;
  /** a block's first projection: x and z, q, k and v, or an MLP's hidden layer. */
  readonly xz: number;
  readonly dbc: number;
  readonly dt: number;
  /** of one query of attention with every position. */
  readonly scores: number;
  /** a projection's input as its kernel reads it. */
  readonly input: number;
  /** logits of a block of rows. */
  readonly logits: number;
  /** f32s in `logits`. */
  readonly logitsLength: number;
  /** running (max, sum) f64 for each token. */
  readonly totals: number;
}

/** Where everything of a compiled model lies. Memory is: stack and constants, weights, activations, then a slot a live sequence. */
export interface Layout {
  readonly blocks: readonly Block[];
  readonly placed: readonly PlacedBlock[];
  readonly places: ReadonlyMap<string, Place>;
  readonly buffers: Buffers;
  /** of a fresh sequence. */
  readonly stateParts: readonly StatePart[];
  /** bytes of a slot before the parts that grow. */
  readonly fixedState: number;
  readonly dim: number;
  /** address of the first slot. */
  readonly slots: number;
  readonly weightsStart: number;
  readonly weightsEnd: number;
  readonly initialPages: number;
  readonly memory: MemoryPlan;
  readonly maxTokens: number;
  readonly maxSequences: number;
}

/** @throws KernelError when tensors are missing or misshapen, or the blocks do not fit one another */
export function planLayout(
  blocks: readonly Block[],
  tensors: ReadonlyMap<string, TensorSpec>,
  options: CompileOptions = {},
): Layout {
  const maxTokens = checkCount("maxTokens", options.maxTokens, DEFAULT_TOKENS);
  const maxSequences = checkCount("maxSequences", options.maxSequences, DEFAULT_SEQUENCES);
  const dim = checkOrder(blocks);
  const arena = new Arena(ARENA_START);
  const places = placeTensors(blocks, tensors, arena);
  const weightsEnd = arena.top;
  const slot = new Arena(0);
  const placed: PlacedBlock[] = [];
  const placeAll = (growing: boolean): void =>
    blocks.forEach((block, i) => {
      if ((block.kind === "attention") === growing) placed[i] = placeBlock(block, places, slot);
    });
  placeAll(false);
  const fixedState = slot.top;
  placeAll(true);
  const buffers = placeBuffers(blocks, placed, maxTokens, dim, arena);
  const slots = roundUp(arena.top, PAGE);
  const weights = weightsEnd - ARENA_START;
  return {
    blocks,
    placed,
    places,
    buffers,
    stateParts: stateLayout(blocks),
    fixedState,
    dim,
    slots,
    weightsStart: ARENA_START,
    weightsEnd,
    initialPages: slots / PAGE,
    memory: { weights, activations: slots - weights, statePerSequence: slot.top },
    maxTokens,
    maxSequences,
  };
}

function placeBuffers(
  blocks: readonly Block[],
  placed: readonly PlacedBlock[],
  maxTokens: number,
  dim: number,
  arena: Arena,
): Buffers {
  const heads = blocks.filter((b) => b.kind === "head");
  const widest = (sizes: number[]): number => Math.max(0, ...sizes);
  const uStride = apart(roundUp(dim, ROWS));
  const widths = placed.map(widthsOf);
  const logitsLength =
    heads.length === 0 ? 0 : Math.max(roundUp(widest(heads.map((h) => h.vocab)), HEAD_UNIT), maxTokens * HEAD_UNIT);
  return {
    tokens: arena.takeF32(maxTokens),
    vectors: arena.takeF32(maxTokens * inputWidth(blocks)),
    u: arena.takeF32(maxTokens * uStride),
    uStride,
    x: arena.takeF32(maxTokens * Math.max(uStride, widest(widths.map((w) => w.x)))),
    xz: arena.takeF32(maxTokens * widest(widths.map((w) => w.xz))),
    dbc: arena.takeF32(maxTokens * widest(widths.map((w) => w.dbc))),
    dt: arena.takeF32(maxTokens * widest(widths.map((w) => w.dt))),
    scores: arena.takeF32(widest(blocks.map((b) => (b.kind === "attention" ? roundUp(b.capacity, CHANNELS) : 0)))),
    input: arena.take(maxTokens * widest(placed.flatMap(projectionsOf).map(inputBytes))),
    logits: arena.takeF32(logitsLength),
    logitsLength,
    totals: arena.take(16 * maxTokens),
  };
}

/** Bytes that one token of a projection's input takes as the kernel reads it. */
function inputBytes({ matrix }: Projection): number {
  return matrix.spec.encoding === "f32" ? 4 * matrix.cols : RECORD_BYTES * Math.ceil(matrix.cols / GROUP);
}
