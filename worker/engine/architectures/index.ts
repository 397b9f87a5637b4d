import type { Block } from "../../../kernels/blocks.ts";
import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { ModelError } from "../errors.ts";
import { inContext } from "./in-context.ts";
import { mamba } from "./mamba.ts";
import { vmamba } from "./vmamba.ts";

export type Hyperparameters = Readonly<Record<string, number | boolean | string>>;

/** A tensor of a package and where its values come from in a checkpoint. */
export interface CanonicalTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** may be quantized: a matrix that a projection or an embedding reads. */
  readonly matrix: boolean;
  /** f32, row-major, finite or the reading throws. */
  read(): Promise<Float32Array>;
}

/** A checkpoint in the project's own terms. */
export interface CanonicalCheckpoint {
  readonly architecture: string;
  readonly hyperparameters: Hyperparameters;
  /** in execution order. */
  readonly tensors: readonly CanonicalTensor[];
  /** the manifest's, where config.json says it. */
  readonly trainedExamples?: number | undefined;
}

/** One family of models: how its checkpoints are read, and its block list. */
export interface Architecture {
  readonly name: string;
  /** what its models are fed; token ids where it is absent. */
  readonly input?: "vectors" | "images";
  /** Whether a checkpoint's keys are of this family. */
  detect(config: Readonly<Record<string, unknown>>, tensors: CheckpointTensors): boolean;
  /** @throws ModelError naming a tensor that is missing, misshapen or unknown, or a setting that is not supported */
  fromCheckpoint(config: Readonly<Record<string, unknown>>, tensors: CheckpointTensors): Promise<CanonicalCheckpoint>;
  /** What a config.json that is missing must hold, in words. @throws ModelError on tensors that no such model has */
  describeConfig?(tensors: CheckpointTensors): string;
  /** @throws ModelError on hyperparameters that are missing or out of range */
  blocks(hyperparameters: Hyperparameters): Block[];
}

const architectures: readonly Architecture[] = [mamba, inContext, vmamba];

/** What models of an architecture are fed. */
export function inputOf(architecture: string): "tokens" | "vectors" | "images" {
  return architectures.find((a) => a.name === architecture)?.input ?? "tokens";
}

/** The block list of a package. @throws ModelError on an architecture that this version does not know */
export function blocksOf(architecture: string, hyperparameters: Hyperparameters): Block[] {
  const found = architectures.find((a) => a.name === architecture);
  if (found === undefined) {
    const known = architectures.map((a) => a.name).join(", ");
    throw new ModelError(
      `the package's architecture is "${architecture}"; this version knows ${known}: update mamba-edge`,
    );
  }
  return found.blocks(hyperparameters);
}

/**
 * What a checkpoint's missing config.json must hold, in words; undefined where its tensors do not say.
 * @throws ModelError on a checkpoint that cannot be read with any
 */
export function describeConfig(tensors: CheckpointTensors): string | undefined {
  return architectures.find((a) => a.describeConfig && a.detect({}, tensors))?.describeConfig?.(tensors);
}

/** Reads a checkpoint of any family, told from its keys. @throws ModelError when none fits */
export async function canonicalCheckpoint(config: unknown, tensors: CheckpointTensors): Promise<CanonicalCheckpoint> {
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new ModelError("config.json must hold an object");
  }
  const settings = config as Readonly<Record<string, unknown>>;
  const found = architectures.find((a) => a.detect(settings, tensors));
  if (found === undefined) {
    const seen = tensors.names().slice(0, 4).join(", ");
    throw new ModelError(
      `no known architecture has this checkpoint's keys (${seen}…, model_type ${JSON.stringify(settings.model_type)}): Mamba-1 in Hugging Face or original layout, the models of mambaformer-icl and VMamba can be read`,
    );
  }
  return found.fromCheckpoint(settings, tensors);
}
