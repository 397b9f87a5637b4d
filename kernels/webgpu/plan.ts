import { type CompileOptions, KernelError, type MemoryPlan, type TensorSpec } from "../backend.ts";
import { type Block, type EmbeddingBlock, type HeadBlock, matrixNames, type NormBlock } from "../blocks.ts";
import { checkCount, checkTensors } from "../check.ts";
import { bcParts, decodeParts, FINEST } from "./shapes.ts";
import { type MambaSizes, mambaSizes, pad } from "./sizes.ts";
import { GEMM_TILE } from "./wgsl/gemm.ts";
import { LOGIT_ROWS } from "./wgsl/logits.ts";
import { TILE_BYTES } from "./wgsl/matrix.ts";

/** Positions whose logits exist at once. */
export const HEAD_BLOCK = GEMM_TILE;
/** Workgroups that keep a large GPU busy: what slices of a product are counted by. */
const BUSY = 264;
const MOST_SLICES = 8;
/** Of a state's control record: a multiple of what bindings want. */
export const CONTROL_BYTES = 256;
/** Memory that a workgroup has by default, less what kernels need beside a vector of dim. */
const WIDEST = (16384 - 6144) / 4;

/** Rows of a matrix that lie in one buffer. */
export interface MatrixPart {
  readonly firstRow: number;
  readonly tileRows: number;
}

/** A Mamba block's weights in one buffer: bytes where things begin, multiples of 256. */
export interface BlockWeights {
  readonly matrices: ReadonlyMap<string, number>;
  readonly vectors: number;
  readonly bytes: number;
}

/** A matrix in tiles, cut where a buffer would outgrow the device's binding limit. */
export interface MatrixPlan {
  readonly name: string;
  readonly spec: TensorSpec;
  readonly rows: number;
  readonly cols: number;
  readonly tileCols: number;
  readonly bytesPerTileRow: number;
  readonly parts: readonly MatrixPart[];
}

export interface Plan {
  readonly blocks: readonly Block[];
  /** tensors of each block. */
  readonly names: readonly string[][];
  readonly tensors: ReadonlyMap<string, TensorSpec>;
  readonly embedding: EmbeddingBlock;
  readonly mambas: readonly MambaSizes[];
  readonly norm: NormBlock;
  readonly head: HeadBlock;
  readonly matrices: ReadonlyMap<string, MatrixPlan>;
  readonly dimQuads: number;
  readonly maxTokens: number;
  /** a multiple of GEMM_TILE. */
  readonly tokenRows: number;
  readonly maxSequences: number;
  /** f32s of each activation buffer. */
  readonly floats: Readonly<Record<ActivationName, number>>;
  /** by Mamba block. */
  readonly blockWeights: readonly BlockWeights[];
  readonly places: StreamPlaces;
  readonly memory: MemoryPlan;
}

export type ActivationName = "stream" | "xn" | "xz" | "x" | "dt" | "y" | "dbc" | "logits";

/** vec4f where parts of one buffer begin, each at a multiple of 256 bytes: u is at 0, then come parts of u, parts of Δ, B and C. */
export interface StreamPlaces {
  readonly partial: number;
  readonly bc: number;
}

export interface PlanOptions {
  /** bytes of a matrix in one buffer; larger ones are cut. Default the device's limit of a binding. */
  readonly matrixLimit?: number;
}

/** Whether the fused kernels run a model: a language model of Mamba blocks. What else there is runs block by block (blocks/). */
export function isFused(blocks: readonly Block[]): boolean {
  const middle = blocks.slice(1, -2);
  const [norm, head] = [blocks.at(-2), blocks.at(-1)];
  return (
    blocks[0]?.kind === "embedding" &&
    blocks[0].dim <= WIDEST &&
    middle.length > 0 &&
    middle.every((b) => b.kind === "mamba" && b.norm.type === "rms") &&
    norm?.kind === "norm" &&
    norm.norm.type === "rms" &&
    head?.kind === "head"
  );
}

/** Everything that can be known before a device is touched. @throws KernelError */
export function makePlan(
  blocks: readonly Block[],
  tensors: ReadonlyMap<string, TensorSpec>,
  options: CompileOptions,
  bindingLimit: number,
  { matrixLimit = bindingLimit }: PlanOptions = {},
): Plan {
  const names = checkTensors(blocks, tensors);
  const [embedding, norm, head] = [blocks[0], blocks.at(-2), blocks.at(-1)];
  const middle = blocks.slice(1, -2).filter((b) => b.kind === "mamba");
  if (!isFused(blocks) || embedding?.kind !== "embedding" || norm?.kind !== "norm" || head?.kind !== "head") {
    throw new KernelError(
      `the fused kernels run embedding, mamba …, norm, head with RMS norms, up to ${WIDEST} wide: this model is ${blocks.map((b) => b.kind).join(", ")}`,
    );
  }
  const mambas = middle.map(mambaSizes);
  const matrices = new Map<string, MatrixPlan>();
  for (const block of blocks) {
    for (const name of matrixNames(block)) {
      const limit = block.kind === "mamba" ? Number.MAX_SAFE_INTEGER : matrixLimit;
      matrices.set(name, planMatrix(name, tensors.get(name)!, limit));
    }
  }
  const blockWeights = mambas.map((m) => planBlock(m, matrices));
  blockWeights.forEach(({ bytes }, i) => {
    if (bytes > bindingLimit) {
      throw new KernelError(
        `Mamba block ${i} has ${bytes} bytes, this device binds ${bindingLimit}: quantize the model`,
      );
    }
  });
  const maxTokens = checkCount("maxTokens", options.maxTokens, 512);
  const tokenRows = pad(maxTokens, GEMM_TILE);
  const dimQuads = pad(embedding.dim, 32) / 4;
  const most = (size: (m: MambaSizes) => number): number => Math.max(...mambas.map(size));
  const outParts = most((m) => Math.max(decodeParts(FINEST, m), outSlices(m, tokenRows) * tokenRows));
  const bcFloats = most((m) => 8 * m.xTileRows * Math.max(bcParts(FINEST, m), xSlices(m, tokenRows) * tokenRows));
  const partial = pad(dimQuads * Math.max(2, tokenRows), 16);
  const places = { partial, bc: pad(partial + dimQuads * outParts, 16) };
  const floats = {
    stream: 4 * places.bc + bcFloats,
    xn: 4 * dimQuads * tokenRows,
    xz: tokenRows * most((m) => Math.max(m.xzStride, 2 * m.innerPad)),
    x: tokenRows * most((m) => m.innerPad),
    dt: tokenRows * most((m) => m.innerPad),
    y: tokenRows * most((m) => m.innerPad),
    dbc: tokenRows * most((m) => m.dbcStride),
    logits: HEAD_BLOCK * pad(head.vocab, 8),
  };
  for (const [name, count] of Object.entries(floats)) {
    if (4 * count > bindingLimit) {
      throw new KernelError(
        `${maxTokens} tokens in a pass need ${4 * count} bytes for ${name}, this device binds ${bindingLimit}: compile with a smaller maxTokens`,
      );
    }
  }
  let weights = 0;
  for (const { bytes } of blockWeights) weights += bytes;
  const inBlocks = new Set(blockWeights.flatMap(({ matrices }) => [...matrices.keys()]));
  for (const m of matrices.values()) {
    if (!inBlocks.has(m.name)) weights += Math.ceil(m.rows / 8) * m.bytesPerTileRow;
  }
  weights += 4 * (pad(norm.dim, 32) + pad(head.vocab, 8));
  return {
    blocks,
    names,
    tensors,
    embedding,
    mambas,
    norm,
    head,
    matrices,
    dimQuads,
    maxTokens,
    tokenRows,
    maxSequences: checkCount("maxSequences", options.maxSequences, 8),
    floats,
    blockWeights,
    places,
    memory: {
      weights,
      activations: 4 * Object.values(floats).reduce((a, b) => a + b, 0),
      statePerSequence: stateBytes(mambas),
    },
  };
}

function planBlock({ block, vectors }: MambaSizes, matrices: ReadonlyMap<string, MatrixPlan>): BlockWeights {
  const places = new Map<string, number>();
  let bytes = 0;
  for (const name of matrixNames(block)) {
    const { rows, bytesPerTileRow } = matrices.get(name)!;
    places.set(name, bytes);
    bytes += pad(Math.ceil(rows / 8) * bytesPerTileRow, 256);
  }
  return { matrices: places, vectors: bytes, bytes: bytes + pad(4 * vectors.length, 256) };
}

export function planMatrix(name: string, spec: TensorSpec, bindingLimit: number): MatrixPlan {
  const [rows = 0, cols = 0] = spec.shape;
  const tileCols = Math.ceil(cols / 32);
  const bytesPerTileRow = tileCols * TILE_BYTES[spec.encoding];
  const most = cutAt(Math.floor(bindingLimit / bytesPerTileRow));
  const all = Math.ceil(rows / 8);
  const parts: MatrixPart[] = [];
  for (let at = 0; at < all; at += most) parts.push({ firstRow: 8 * at, tileRows: Math.min(most, all - at) });
  return { name, spec, rows, cols, tileCols, bytesPerTileRow, parts };
}

/** Whole groups of LOGIT_ROWS in each part, so that a group is one part's. */
function cutAt(tileRows: number): number {
  const group = LOGIT_ROWS / 8;
  return Math.max(group, tileRows - (tileRows % group));
}

function slices(tileRows: number, tileCols: number, tokenRows: number): number {
  const groups = Math.ceil(tileRows / 8) * (tokenRows / GEMM_TILE);
  return Math.max(1, Math.min(MOST_SLICES, tileCols, Math.ceil(BUSY / groups)));
}

/** Slices that out_proj's columns are cut into for many tokens. */
export function outSlices(m: MambaSizes, tokenRows: number): number {
  return slices(Math.ceil(m.block.dim / 8), m.innerPad / 32, tokenRows);
}

/** Slices that x_proj's columns are cut into for many tokens. */
export function xSlices(m: MambaSizes, tokenRows: number): number {
  return slices(m.xTileRows, m.innerPad / 32, tokenRows);
}

/** Offsets of the blocks' states in a sequence's buffer, which bindings want at multiples of 256; behind them the control record. */
export function stateOffsets(mambas: readonly MambaSizes[]): number[] {
  let offset = 0;
  return [...mambas, undefined].map((m) => {
    const at = offset;
    offset += m === undefined ? 0 : pad(4 * m.stateLength, 256);
    return at;
  });
}

/** Bytes of a sequence's buffer. */
export function stateBytes(mambas: readonly MambaSizes[]): number {
  return stateOffsets(mambas).at(-1)! + CONTROL_BYTES;
}
