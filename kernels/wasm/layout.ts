import { GROUP } from "../../weights/layout.ts";
import { type CompileOptions, KernelError, type MemoryPlan, type TensorSpec } from "../backend.ts";
import type { Block, Linear, MambaBlock, Norm } from "../blocks.ts";
import { checkCount } from "../check.ts";
import { type StatePart, stateLayout } from "../state.ts";
import { Arena, PAGE, roundUp } from "./arena.ts";
import { ARENA_START } from "./kernels.ts";
import { CHANNELS, type Place, placeTensors } from "./tensors.ts";

const DEFAULT_TOKENS = 64;
const DEFAULT_SEQUENCES = 8;
/** projections write whole blocks of 8 rows. */
const ROWS = 8;
/** log_sum_exp.c sums in units of so many rows. */
export const HEAD_UNIT = 64;
/** record.h: a group of 32 columns of a token. */
const RECORD_BYTES = 72;

/** A matrix with its bias's address, 0 when there is none. */
export interface Projection {
  readonly matrix: Place;
  readonly bias: number;
}

export interface PlacedNorm {
  readonly weight: number;
  readonly eps: number;
}

/** A Mamba block whose tensors are addresses. `inner` and the rest as in blocks.ts; strides in f32s. */
export interface PlacedMamba {
  readonly kind: "mamba";
  readonly block: MambaBlock;
  readonly norm: PlacedNorm;
  readonly inProj: Projection;
  readonly convWeight: number;
  readonly convBias: number;
  readonly xProj: Projection;
  readonly dtProj: Projection;
  readonly A: number;
  readonly D: number;
  readonly outProj: Projection;
  /** inner, rounded up to what the kernels take at once. */
  readonly channels: number;
  /** stride of in_proj's output, x then z, with room for the channels behind z's last. */
  readonly xzStride: number;
  /** stride of x_proj's output. */
  readonly dbcStride: number;
  /** bytes from the start of a sequence's slot. */
  readonly convState: number;
  readonly ssmState: number;
}

export type PlacedBlock =
  | { readonly kind: "embedding"; readonly table: Place }
  | PlacedMamba
  | { readonly kind: "norm"; readonly norm: PlacedNorm }
  | { readonly kind: "head"; readonly proj: Projection };

/** Addresses of the activations, shared by all blocks. */
export interface Buffers {
  /** token ids (maxTokens) i32. */
  readonly tokens: number;
  /** residual stream (maxTokens, uStride). */
  readonly u: number;
  readonly uStride: number;
  /** normalized u, then the conv's output and the scan's y: (maxTokens, the widest). */
  readonly x: number;
  readonly xz: number;
  readonly dbc: number;
  readonly dt: number;
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
  readonly stateParts: readonly StatePart[];
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
  const placed = blocks.map((block) => placeBlock(block, places, slot));
  const buffers = placeBuffers(blocks, placed, maxTokens, dim, arena);
  const slots = roundUp(arena.top, PAGE);
  const weights = weightsEnd - ARENA_START;
  return {
    blocks,
    placed,
    places,
    buffers,
    stateParts: stateLayout(blocks),
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

/** The width of the residual stream. */
function checkOrder(blocks: readonly Block[]): number {
  const dim = blocks[0]?.dim ?? 0;
  blocks.forEach((block, i) => {
    if ((i === 0) !== (block.kind === "embedding")) {
      throw new KernelError(`block ${i} is ${block.kind}: a model has one embedding, and it comes first`);
    }
    if (block.dim !== dim)
      throw new KernelError(`block ${i} (${block.kind}) has dim ${block.dim}, the first has ${dim}`);
    if (block.kind === "head" && i !== blocks.length - 1) {
      throw new KernelError(`block ${i} is a head with blocks behind it: the head comes last`);
    }
    if (block.kind === "mamba" && block.conv < 1)
      throw new KernelError(`block ${i} has a convolution of width ${block.conv}`);
  });
  if (blocks.length === 0) throw new KernelError("a model needs at least an embedding block");
  return dim;
}

function placeBlock(block: Block, places: ReadonlyMap<string, Place>, slot: Arena): PlacedBlock {
  const at = (name: string): Place => places.get(name) as Place;
  const projection = (l: Linear): Projection => ({
    matrix: at(l.weight),
    bias: l.bias === undefined ? 0 : at(l.bias).offset,
  });
  const norm = (n: Norm): PlacedNorm => ({ weight: at(n.weight).offset, eps: n.eps });
  switch (block.kind) {
    case "embedding":
      return { kind: "embedding", table: at(block.weight) };
    case "norm":
      return { kind: "norm", norm: norm(block.norm) };
    case "head":
      return { kind: "head", proj: projection(block.proj) };
    case "mamba": {
      const channels = roundUp(block.inner, CHANNELS);
      return {
        kind: "mamba",
        block,
        norm: norm(block.norm),
        inProj: projection(block.inProj),
        convWeight: at(block.convWeight).offset,
        convBias: block.convBias === undefined ? 0 : at(block.convBias).offset,
        xProj: projection({ weight: block.xProj }),
        dtProj: projection(block.dtProj),
        A: at(block.A).offset,
        D: at(block.D).offset,
        outProj: projection(block.outProj),
        channels,
        xzStride: roundUp(block.inner + channels, ROWS),
        dbcStride: roundUp(block.dtRank + 2 * block.state, ROWS),
        convState: slot.takeF32((block.conv - 1) * channels),
        ssmState: slot.takeF32(block.state * channels),
      };
    }
  }
}

function placeBuffers(
  blocks: readonly Block[],
  placed: readonly PlacedBlock[],
  maxTokens: number,
  dim: number,
  arena: Arena,
): Buffers {
  const mambas = placed.filter((b) => b.kind === "mamba");
  const heads = blocks.filter((b) => b.kind === "head");
  const widest = (sizes: number[]): number => Math.max(0, ...sizes);
  const projections = [
    ...mambas.flatMap((m) => [m.inProj, m.xProj, m.dtProj, m.outProj]),
    ...placed.flatMap((b) => (b.kind === "head" ? [b.proj] : [])),
  ];
  const uStride = roundUp(dim, ROWS);
  const channels = widest(mambas.map((m) => m.channels));
  const logitsLength =
    heads.length === 0 ? 0 : Math.max(roundUp(widest(heads.map((h) => h.vocab)), HEAD_UNIT), maxTokens * HEAD_UNIT);
  return {
    tokens: arena.takeF32(maxTokens),
    u: arena.takeF32(maxTokens * uStride),
    uStride,
    x: arena.takeF32(maxTokens * Math.max(uStride, channels)),
    xz: arena.takeF32(maxTokens * widest(mambas.map((m) => m.xzStride))),
    dbc: arena.takeF32(maxTokens * widest(mambas.map((m) => m.dbcStride))),
    dt: arena.takeF32(maxTokens * channels),
    input: arena.take(maxTokens * widest(projections.map(inputBytes))),
    logits: arena.takeF32(logitsLength),
    logitsLength,
    totals: arena.take(16 * maxTokens),
  };
}

/** Bytes that one token of a projection's input takes as the kernel reads it. */
function inputBytes({ matrix }: Projection): number {
  return matrix.spec.encoding === "f32" ? 4 * matrix.cols : RECORD_BYTES * Math.ceil(matrix.cols / GROUP);
}
