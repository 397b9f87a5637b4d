import { type CompileOptions, type Executable, KernelError, type Span, type TensorSpec } from "./backend.ts";
import { type Block, tensorShapes } from "./blocks.ts";

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

/** A whole number of at least 1, or the default. @throws KernelError otherwise */
export function checkCount(name: keyof CompileOptions, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (!Number.isInteger(value) || value < 1) throw new KernelError(`${name} must be a whole number ≥ 1, is ${value}`);
  return value;
}

/** Checks a batch against what an executable was compiled for. @throws KernelError saying which span is wrong and how */
export function checkSpans(
  executable: Pick<Executable, "blocks" | "maxTokens" | "maxSequences">,
  spans: readonly Span[],
): void {
  const { blocks, maxTokens, maxSequences } = executable;
  const vocab = blocks.find((b) => b.kind === "embedding")?.vocab ?? 0;
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
    if (span.tokens.length === 0) throw new KernelError(`span ${i} has no tokens`);
    total += span.tokens.length;
    checkTokens(span.tokens, vocab, `span ${i}`);
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

function checkTokens(tokens: ArrayLike<number>, vocab: number, where: string): void {
  for (let t = 0; t < tokens.length; t++) {
    const token = tokens[t] as number;
    if (!Number.isInteger(token) || token < 0 || token >= vocab) {
      throw new KernelError(`token ${token} at position ${t} of ${where} is outside the vocabulary 0..${vocab - 1}`);
    }
  }
}

/** Checks a canonical state before it is written. @throws KernelError on another length or a value that is not finite */
export function checkState(values: Float32Array, length: number): void {
  if (values.length !== length)
    throw new KernelError(`a state of this model has ${length} values, got ${values.length}`);
  const bad = values.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0) throw new KernelError(`state value ${bad} is ${values[bad]}: a state must be finite`);
}
