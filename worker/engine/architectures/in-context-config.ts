import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { ModelError } from "../errors.ts";
import { familyOf, layersOf, positionTable, refuseTokens, shapeOf } from "./in-context-keys.ts";

/** The keys of `model` in the config.yaml that the official training writes, from which its code builds the model again. */
const KEYS = "family, n_dims, n_embd, n_layer, n_positions, n_head, mixed_attn, interleave and vocab_size";

type Settings = Readonly<Record<string, unknown>>;

/** What config.json says of the model: all of it, or its part "model" where it is the training's config.yaml as JSON. */
export function modelSettings(config: Settings): Settings {
  return objectAt(config, "model") ?? config;
}

/**
 * How many examples came before the last question of a training's longest prompts: "trained_examples", or one less than the points with
 * which the curriculum of a whole config.yaml ends; undefined where neither is there.
 * @throws ModelError when it is no number of examples
 */
export function readTrainedExamples(config: Settings): number | undefined {
  const points = objectAt(config, "training", "curriculum", "points")?.end;
  const given = modelSettings(config).trained_examples ?? config.trained_examples;
  if (given === undefined && points === undefined) return undefined;
  const examples = given ?? (typeof points === "number" ? points - 1 : points);
  if (typeof examples === "number" && Number.isInteger(examples) && examples >= 1 && examples <= 2 ** 24)
    return examples;
  const where = given === undefined ? "training.curriculum.points.end" : "trained_examples";
  throw new ModelError(
    `config.json says ${where} = ${JSON.stringify(given ?? points)}: it must be a whole number of ${given === undefined ? "points from 2" : "examples from 1"} to 2^24`,
  );
}

function objectAt(value: unknown, ...path: readonly string[]): Settings | undefined {
  for (const key of path) value = typeof value === "object" && value !== null ? (value as Settings)[key] : undefined;
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Settings) : undefined;
}

/**
 * What config.json of an in-context model must hold, in words, with what its tensors tell of it.
 * @throws ModelError when they are none of the known layouts, or of a model that is fed tokens
 */
export function describeInContextConfig(tensors: CheckpointTensors): string {
  refuseTokens(undefined, tensors);
  const layers = layersOf(tensors);
  const table = positionTable(tensors);
  const [dim = 0, inputs = 0] = shapeOf(tensors, "_read_in.weight");
  const [outputs] = shapeOf(tensors, "_read_out.weight");
  const family = familyOf(layers);
  const gpt2 = family === "gpt2";
  const attention = layers.findIndex(({ kind }) => kind === "attention");
  const mambaformer = !gpt2 && attention > 0;
  const rows = table === undefined ? undefined : shapeOf(tensors, table)[0]!;
  const config = {
    family,
    n_dims: inputs,
    n_embd: dim,
    n_layer: gpt2 ? layers.length / 2 : layers.length - (mambaformer ? 1 : 0),
    // The official GPT-2 has two positions a point, its hybrids one.
    ...(rows !== undefined && { n_positions: gpt2 ? Math.ceil(rows / 2) : rows }),
    ...(!gpt2 && attention >= 0 && { mixed_attn: mambaformer ? "mambaformer" : "standard" }),
    // Without interleaving the official read-out gives vectors.
    interleave: outputs === 1 || outputs !== inputs,
    vocab_size: -1,
  };
  const untold = [...(mambaformer ? ["n_positions"] : []), ...(gpt2 ? ["n_head"] : [])];
  return (
    `write there, as JSON, what the training's config.yaml has under "model" (${KEYS}); by its tensors that is ${JSON.stringify(config)}` +
    (untold.length === 0 ? "" : `, and ${untold.join(" and ")}, which they do not tell`) +
    ". All of config.yaml as JSON will do too, and tells with how many examples it was trained"
  );
}
