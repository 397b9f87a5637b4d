import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { isGpt2, layersOf, positionTable, refuseTokens, shapeOf } from "./in-context-keys.ts";

/** The keys of `model` in the config.yaml that the official training writes, from which its code builds the model again. */
const KEYS = "family, n_dims, n_embd, n_layer, n_positions, n_head, mixed_attn, interleave and vocab_size";

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
  const gpt2 = layers.some(({ key }) => isGpt2(key));
  const attention = layers.findIndex(({ kind }) => kind === "attention");
  const mambaformer = !gpt2 && attention > 0;
  const rows = table === undefined ? undefined : shapeOf(tensors, table)[0]!;
  const config = {
    family: gpt2 ? "gpt2" : attention >= 0 ? "tf-mamba" : layers[0]!.kind,
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
    (untold.length === 0 ? "" : `, and ${untold.join(" and ")}, which they do not tell`)
  );
}
