import type { Backend, CompileOptions, MemoryPlan, TensorSpec } from "../../kernels/backend.ts";
import type { Block } from "../../kernels/blocks.ts";
import type { ImageInputSpec } from "../../weights/image-input.ts";
import { stagingBytes } from "../../weights/loader.ts";
import type { Hyperparameters } from "../../weights/manifest.ts";
import { blocksOf } from "./architectures/index.ts";
import { heldTensors } from "./decoded.ts";
import { MemoryBudgetError } from "./errors.ts";

/** Bytes that an isolate of 128 MB leaves for a model, after the script, the tokenizer and the requests in flight. */
export const DEFAULT_MEMORY_BUDGET = 104_000_000;
/** Live sequences that the budget must hold. */
export const DEFAULT_SEQUENCES = 8;

/** What of a package decides how much memory it takes: a manifest, or what one will say (`outlinePackage` of convert.ts). */
export interface PackageOutline {
  readonly architecture: string;
  readonly hyperparameters: Hyperparameters;
  readonly tensors: readonly (TensorSpec & { readonly name: string })[];
  readonly shards: readonly { readonly bytes: number }[];
  readonly image?: ImageInputSpec | undefined;
}

/** What a backend is asked to hold for a package. @throws ModelError on an architecture or sizes that are not known */
export function heldOf(
  { architecture, hyperparameters, tensors, image }: Omit<PackageOutline, "shards">,
  options: CompileOptions = {},
): { blocks: Block[]; tensors: ReadonlyMap<string, TensorSpec>; compile: CompileOptions } {
  const blocks = blocksOf(architecture, hyperparameters);
  const compile = { ...(image && { maxImage: { height: image.height, width: image.width } }), ...options };
  return { blocks, tensors: heldTensors({ tensors }, blocks), compile };
}

/** What a package takes, and how many sequences at a time a budget has room for. */
export interface PackageMemory {
  /** Bytes with so many sequences. */
  need(sequences: number): number;
  /** 0 where it cannot even be loaded; Infinity where sequences take nothing. */
  mostSequences(budget: number): number;
}

/** @throws ModelError, and KernelError where the tensors are not those of the architecture */
export function memoryOfPackage(outline: PackageOutline, plan: Backend["plan"]): PackageMemory {
  const { blocks, tensors, compile } = heldOf(outline);
  const memory = plan(blocks, tensors, compile);
  const need = (sequences: number): number => memoryNeed(memory, sequences, stagingBytes(outline));
  return {
    need,
    mostSequences(budget) {
      if (need(1) > budget) return 0;
      const { weights, activations, statePerSequence } = memory;
      return Math.floor((budget - weights - activations) / statePerSequence);
    },
  };
}

/**
 * The most bytes that a model takes at a time. While it loads it has staging buffers, but one state: whoever leads the load computes
 * alone, and the others come when it is done.
 * @param staging bytes of the staging buffers, 0 once it is loaded
 */
export function memoryNeed(plan: MemoryPlan, sequences: number, staging: number): number {
  const { weights, activations, statePerSequence } = plan;
  return weights + activations + Math.max(sequences * statePerSequence, statePerSequence + staging);
}

/** @throws MemoryBudgetError with the numbers */
export function checkBudget(
  manifest: Pick<PackageOutline, "shards"> & { readonly id: string },
  plan: MemoryPlan,
  { memoryBudget = DEFAULT_MEMORY_BUDGET, sequences = DEFAULT_SEQUENCES },
): void {
  const staging = stagingBytes(manifest);
  const need = memoryNeed(plan, sequences, staging);
  if (need <= memoryBudget) return;
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const states = sequences * plan.statePerSequence;
  throw new MemoryBudgetError(
    `${manifest.id} needs ${mb(need)} MB (weights ${mb(plan.weights)}, activations ${mb(plan.activations)}, and ${sequences} states ${mb(states)} or, ` +
      `while it loads, one state and staging ${mb(plan.statePerSequence + staging)})`,
    need,
    memoryBudget,
  );
}
