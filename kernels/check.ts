import {
  type CompileOptions,
  type Executable,
  KernelError,
  SAMPLED,
  type Sampling,
  type Span,
  type TensorSpec,
} from "./backend.ts";
import { type Block, inputWidth, positionLimit, tensorShapes } from "./blocks.ts";
import { positionsOf, stateLayout, stateLength } from "./state.ts";

/** The checks that every backend makes before it computes. */

/** Names of a block's tensors that are there with the shape the block says. @throws KernelError otherwise */
export function checkTensors(blocks: readonly Block[], tensors: ReadonlyMap<string, TensorSpec>): string[][] {
  return blocks.map((block, i) => {
    const names: string[] = [];
    for (const [name, shape] of tensorShapes(block)) {
      const spec = tensors.get(name);
      if (spec === undefined)
        throw new KernelError(`block ${i} (${block.kind}) needs tensor "${name}", which is missing`);
      if (spec.shape.join() !== shape.join()) {
        throw new KernelError(
          `tensor "${name}" of block ${i} (${block.kind}) must have shape (${shape.join(", ")}), has (${spec.shape.join(", ")})`,
        );
      }
      names.push(name);
    }
    return names;
  });
}

/**
 * Checks that blocks follow one another as they must. @returns the width of the residual stream
 * @throws KernelError naming the block that is out of place
 */
export function checkOrder(blocks: readonly Block[]): number {
  const dim = blocks[0]?.dim ?? 0;
  const grows = blocks.some((b) => b.kind === "attention");
  blocks.forEach((block, i) => {
    if (["conv2d", "patch-merge", "ss2d", "pool"].includes(block.kind))
      throw new KernelError(`block ${i} (${block.kind}) is of image models, which begin with a conv2d`);
    if ((i === 0) !== (block.kind === "embedding" || block.kind === "read-in")) {
      throw new KernelError(`block ${i} is ${block.kind}: a model has one embedding or read-in, and it comes first`);
    }
    if (block.dim !== dim)
      throw new KernelError(`block ${i} (${block.kind}) has dim ${block.dim}, the first has ${dim}`);
    if (block.kind === "head" && i !== blocks.length - 1) {
      throw new KernelError(`block ${i} is a head with blocks behind it: the head comes last`);
    }
    if ((block.kind === "mamba" || block.kind === "s4-mamba") && block.conv < 1)
      throw new KernelError(`block ${i} has a convolution of width ${block.conv}`);
    if (block.kind === "attention" && dim % block.heads !== 0)
      throw new KernelError(`block ${i} has ${block.heads} heads for a width of ${dim}: heads must divide it`);
    // What remembers the position of a sequence is attention's state.
    if (block.kind === "positions" && !grows)
      throw new KernelError(`block ${i} adds positions, which only a model with attention keeps count of`);
  });
  if (blocks.length === 0) throw new KernelError("a model needs at least an embedding or read-in block");
  return dim;
}

/** Positions that a span advances by. `width` is `inputWidth` of the blocks. */
export function spanLength({ tokens, vectors }: Pick<Span, "tokens" | "vectors">, width: number): number {
  return width === 0 ? tokens.length : (vectors?.length ?? 0) / width;
}

/** A whole number of at least 1, or the default. @throws KernelError otherwise */
export function checkCount(name: keyof CompileOptions, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (!Number.isInteger(value) || value < 1) throw new KernelError(`${name} must be a whole number ≥ 1, is ${value}`);
  return value;
}

/** Checks a batch against what an executable was compiled for. @throws KernelError saying which span is wrong and how */
export function checkSpans(
  executable: Pick<Executable, "blocks" | "maxTokens" | "maxSequences" | "samples">,
  spans: readonly Span[],
): void {
  const { blocks, maxTokens, maxSequences } = executable;
  const vocab = blocks.find((b) => b.kind === "embedding")?.vocab ?? 0;
  const width = inputWidth(blocks);
  const limit = positionLimit(blocks);
  if (spans.length === 0) throw new KernelError("a pass needs at least one span");
  if (spans.length > maxSequences) {
    throw new KernelError(
      `a pass takes at most ${maxSequences} sequences, ${spans.length} were given: split the batch`,
    );
  }
  if (new Set(spans.map((s) => s.state)).size < spans.length) {
    throw new KernelError("two spans of a pass share one state: join their tokens or run them one after the other");
  }
  let total = 0;
  spans.forEach((span, i) => {
    const length = spanLength(span, width);
    if (span.sample !== undefined) checkSampling(executable.samples === true, span.sample, i);
    if (width > 0) checkVectors(span, width, `span ${i}`);
    else if (span.tokens !== SAMPLED) checkTokens(span.tokens, vocab, `span ${i}`);
    else if (!executable.samples) {
      throw new KernelError(
        `span ${i} takes a token that the backend chose, but this backend chooses none: give its id`,
      );
    }
    if (length === 0) throw new KernelError(`span ${i} has no ${width === 0 ? "tokens" : "vectors"}`);
    total += length;
    const positions = (span.state.positions ?? 0) + length;
    if (positions > limit) {
      throw new KernelError(
        `span ${i} would make its sequence ${positions} positions long, this model's attention holds at most ${limit}: begin a new sequence`,
      );
    }
    if (span.targets === undefined) return;
    if (span.targets.length !== span.tokens.length) {
      throw new KernelError(
        `span ${i} has ${span.tokens.length} tokens and ${span.targets.length} targets: give one target a token`,
      );
    }
    checkTokens(span.targets, vocab, `the targets of span ${i}`);
  });
  if (total > maxTokens)
    throw new KernelError(`a pass takes at most ${maxTokens} tokens, ${total} were given: cut the spans`);
}

function checkVectors({ tokens, vectors, targets }: Span, width: number, where: string): void {
  if (vectors === undefined || tokens.length > 0 || targets !== undefined) {
    throw new KernelError(`${where} must have vectors, and no tokens or targets: the model begins with a read-in`);
  }
  if (vectors.length % width !== 0) {
    throw new KernelError(`the vectors of ${where} are ${vectors.length} numbers, not a multiple of ${width}`);
  }
  const bad = vectors.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0) throw new KernelError(`number ${bad} of the vectors of ${where} is ${vectors[bad]}: it must be finite`);
}

function checkSampling(samples: boolean, sampling: Sampling, span: number): void {
  if (!samples) {
    throw new KernelError(
      `span ${span} asks for a token, but this backend chooses none: ask for logits and sample from them`,
    );
  }
  const { temperature, topK, topP, minP, seed, position } = sampling;
  const check = (name: string, value: number, allowed: boolean, range: string): void => {
    if (!allowed) throw new KernelError(`${name} of span ${span} is ${value}: it must be ${range}`);
  };
  check("temperature", temperature, temperature >= 0 && temperature < Number.POSITIVE_INFINITY, "at least 0");
  check("topK", topK, Number.isSafeInteger(topK) && topK >= 0, "an integer ≥ 0");
  check("topP", topP, topP > 0 && topP <= 1, "above 0, at most 1");
  check("minP", minP, minP >= 0 && minP <= 1, "from 0 to 1");
  check("seed", seed, Number.isSafeInteger(seed) && seed >= 0, "an integer ≥ 0");
  check("position", position, Number.isSafeInteger(position) && position >= 0, "an integer ≥ 0");
}

function checkTokens(tokens: ArrayLike<number>, vocab: number, where: string): void {
  for (let t = 0; t < tokens.length; t++) {
    const token = tokens[t] as number;
    if (!Number.isInteger(token) || token < 0 || token >= vocab) {
      throw new KernelError(`token ${token} at position ${t} of ${where} is outside the vocabulary 0..${vocab - 1}`);
    }
  }
}

/**
 * Checks a canonical state before it is written. @returns the positions that its growing parts hold
 * @throws KernelError on a length that no state has, or a value that is not finite
 */
export function checkState(values: Float32Array, blocks: readonly Block[]): number {
  const positions = positionsOf(blocks, values.length);
  if (positions === undefined) {
    const fixed = stateLength(stateLayout(blocks));
    const each = stateLength(stateLayout(blocks, 1)) - fixed;
    const growth = each === 0 ? "" : ` and ${each} a position, for at most ${positionLimit(blocks)}`;
    throw new KernelError(`a state of this model has ${fixed} values${growth}, got ${values.length}`);
  }
  const bad = values.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0) throw new KernelError(`state value ${bad} is ${values[bad]}: a state must be finite`);
  return positions;
}
