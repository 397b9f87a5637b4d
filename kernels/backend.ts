import type { Block } from "./blocks.ts";
import type { ImageSize } from "./image-blocks.ts";
import type { StatePart } from "./state.ts";

/** How a tensor's bytes are encoded: f32 is row-major little-endian, q8 and q4 are the tile layout of weights/layout.ts. */
export type Encoding = "f32" | "q8" | "q4";

/** What a backend must know of a tensor before its bytes arrive. */
export interface TensorSpec {
  readonly shape: readonly number[];
  readonly encoding: Encoding;
  /** size of the encoded bytes. */
  readonly bytes: number;
}

export interface CompileOptions {
  /** most tokens in a pass, all sequences together; the backend chooses when absent. */
  readonly maxTokens?: number;
  /** most sequences in a pass. Default 8. */
  readonly maxSequences?: number;
  /** of image models: the largest image; others run where they need no more memory. Default 224 × 224. */
  readonly maxImage?: ImageSize;
  /** of image models: most images in a pass. Default 8. */
  readonly maxImages?: number;
}

/** Bytes a compiled model takes, known before anything is allocated. */
export interface MemoryPlan {
  readonly weights: number;
  readonly activations: number;
  /** each live sequence, with what grows at its full size. */
  readonly statePerSequence: number;
}

/** Runs models on one kind of hardware. */
export interface Backend {
  readonly name: "reference" | "wasm" | "webgpu";
  plan(blocks: readonly Block[], tensors: ReadonlyMap<string, TensorSpec>, options?: CompileOptions): MemoryPlan;
  /**
   * Plans buffers and fusions for the block list. Weights follow through `Executable.load`, so that a model can start while they arrive.
   * @throws KernelError when a tensor is missing or has another shape than its block says
   */
  compile(
    blocks: readonly Block[],
    tensors: ReadonlyMap<string, TensorSpec>,
    options?: CompileOptions,
  ): Promise<Executable>;
}

/** The recurrent state of one sequence, in the backend's own layout. Reading and writing speak the canonical order of `stateLayout`. */
export interface SequenceState {
  /** Positions that the parts which grow hold, so far; 0, or absent, where nothing grows. At most `positionLimit` of the blocks. */
  readonly positions?: number;
  /** A copy, (stateLength) f32: of parts that grow what is filled. */
  read(): Promise<Float32Array>;
  /** @throws KernelError on another length or a value that is not finite; the state is then unchanged */
  write(values: Float32Array): void;
  copyFrom(other: SequenceState): void;
  /** Back to zero, as a fresh sequence. */
  reset(): void;
  /** Frees its memory for another sequence. Using it afterwards throws. */
  dispose(): void;
}

/**
 * How a backend that samples (`Executable.samples`) chooses a token from the logits: as the engine's sampler does, with the draw at
 * `position` of `seed`.
 */
export interface Sampling {
  /** 0 takes the most probable token. */
  readonly temperature: number;
  /** 0 keeps all. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed: number;
  readonly position: number;
}

/** As a span's tokens: the one token that the backend chose in the state's last pass. The host need not know it yet. */
export const SAMPLED: ArrayLike<number> = Object.freeze([-1]);

/** One sequence's part of a pass: the tokens it advances by, and what to keep of them. */
export interface Span {
  readonly state: SequenceState;
  /** token ids, at least one, each below the embedding's vocab; or SAMPLED. Empty where the model begins with a read-in. */
  readonly tokens: ArrayLike<number>;
  /** (count, inputs) finite: what a model that begins with a read-in is fed in place of tokens. */
  readonly vectors?: Float32Array;
  /** positions whose logits are wanted. Default none. */
  readonly logits?: "none" | "last" | "all";
  /** as long as tokens (vectors have none): asks for log p(targets[t] | tokens[0..t]) without keeping the logits (the head in row blocks). */
  readonly targets?: ArrayLike<number>;
  /** chooses the token after the last one on the backend. */
  readonly sample?: Sampling;
}

export interface SpanOutput {
  /** (positions, vocab), the caller's to keep: other sequences may run before it is looked at. Empty when none were asked for. */
  readonly logits: Float32Array;
  /** (tokens) natural log; empty without targets. */
  readonly logProbs: Float32Array;
  /** the token chosen, where `sample` asked for one. */
  readonly token?: number;
}

/**
 * A traversal of the blocks by a batch of spans. Opening a pass ends any other of the same executable that is unfinished:
 * its spans' states are then neither the old nor the new ones and must be reset or written.
 */
export interface Pass {
  /** blocks done so far. */
  readonly block: number;
  /** Enqueues the blocks up to `end` (exclusive, default all). @throws KernelError when one of them is not loaded */
  advance(end?: number): void;
  /** The one asynchronous call. In the order of the spans. @throws KernelError before the last block is done */
  read(): Promise<readonly SpanOutput[]>;
}

/** An image to be seen. Images of a pass may differ in size. */
export interface ImageInput extends ImageSize {
  /** (channels, height, width), as the model's training normalized them; finite. */
  readonly pixels: Float32Array;
}

/** What the scans of an SS2D block answer: for each of the four orders and each position, the root mean square of C h over the channels. */
export interface ScanResponses extends ImageSize {
  /** (4, height, width). */
  readonly values: Float32Array;
}

export interface ImageOutput {
  /** (vocab of the head). */
  readonly logits: Float32Array;
  /** of the block asked for. */
  readonly responses?: ScanResponses;
}

/** A traversal of the blocks by a batch of images, advanced as `Pass` is. Opening one ends any other of the same executable. */
export interface ImagePass {
  readonly block: number;
  /** @throws KernelError when a block is not loaded, or another pass was opened */
  advance(end?: number): void;
  /** In the order of the images. @throws KernelError before the last block is done */
  read(): Promise<readonly ImageOutput[]>;
}

/** How an image model runs. */
export interface ImageRunner {
  readonly maxImage: ImageSize;
  readonly maxImages: number;
  /**
   * @param observe index of an ss2d block whose scans' responses are wanted
   * @throws KernelError on an image that is too large or too small, of another length, or not finite
   */
  begin(images: readonly ImageInput[], observe?: number): ImagePass;
}

/** A block list bound to memory. */
export interface Executable {
  readonly blocks: readonly Block[];
  readonly stateLayout: readonly StatePart[];
  readonly memory: MemoryPlan;
  readonly maxTokens: number;
  readonly maxSequences: number;
  /** leading blocks whose tensors have all arrived. */
  readonly blocksLoaded: number;
  /** Present where the model is fed images. It then has no sequences: `createState`, `begin` and `run` throw. */
  readonly images?: ImageRunner;
  /** tokens can be chosen on the backend. */
  readonly samples?: boolean;
  /** Copies a piece of a tensor's encoded bytes. Pieces of one tensor come in order; `bytes` may be reused afterwards. */
  load(tensor: string, offset: number, bytes: Uint8Array): void;
  createState(): SequenceState;
  /** Opens a pass to be advanced by hand as the weights arrive. The spans must hold different states. */
  begin(spans: readonly Span[]): Pass;
  /** A pass through every block. Only enqueues. */
  run(spans: readonly Span[]): Pass;
  /** Drops all its memory. */
  dispose(): void;
}

/** A call that the kernels cannot carry out: the message says what was wrong, what was seen and what to do. */
export class KernelError extends Error {
  override readonly name = "KernelError";
}
