import { interleaves } from "../../engine/architectures/in-context.ts";
import type { Model } from "../../engine/model.ts";
import { type AdvanceOptions, Sequence } from "../../engine/sequence.ts";
import type { Limits } from "../env.ts";
import { badValue } from "../http/api-error.ts";
import { mostPromptTokens } from "../models/request-budget.ts";
import type { VectorRequest } from "../schemas/infer-vectors.ts";
import { numbersOf } from "./tensor-data.ts";

export interface VectorOutputs {
  readonly shape: number[];
  readonly data: Float32Array;
  /** vectors that were fed. */
  readonly count: number;
}

/**
 * Feeds the vectors of a request, and nothing else, to a fresh state.
 * @throws ApiError 400 on tensors that this model cannot be fed
 */
export async function inferVectors(
  model: Model,
  limits: Limits,
  request: VectorRequest,
  options: AdvanceOptions,
): Promise<VectorOutputs> {
  const vectors = readVectors(model, request);
  const count = vectors.length / model.inputs;
  checkCount(model, limits, count);
  const sequence = new Sequence(model);
  try {
    const all = await sequence.feedVectors(vectors, options);
    const last = request.parameters?.positions !== "all";
    const data = last ? all.subarray(-model.outputs) : all;
    if (!data.every(Number.isFinite)) {
      throw badValue(
        "inputs[0].data",
        "the model's outputs are not finite numbers: the numbers given are too large for it, scale them to about 1",
      );
    }
    return { shape: last ? [1, model.outputs] : [1, count, model.outputs], data, count };
  } finally {
    sequence.dispose();
  }
}

/** @throws ApiError 400 with the limit and the number seen */
function checkCount(model: Model, limits: Limits, count: number): void {
  const { id } = model.manifest;
  const refuse = (why: string): never => {
    throw badValue("inputs[0].shape", `inputs[0] has ${count} vectors, ${why}`, "context_length_exceeded");
  };
  if (count > model.positionLimit)
    refuse(`the attention of ${id} holds at most ${model.positionLimit} positions: send fewer`);
  const most = mostPromptTokens(model, limits);
  const pieces = interleaves(model.manifest.hyperparameters)
    ? ", or add examples to a session (POST /v1/icl/predictions) piece by piece"
    : "";
  if (count > most) refuse(`a request to ${id} may have ${most}: send fewer${pieces}`);
}

function readVectors(model: Model, { inputs: [tensor] }: VectorRequest): Float32Array {
  const { shape, data } = tensor;
  const at = "inputs[0].shape";
  const [width, count, batch = 1] = [...shape].reverse();
  if (width !== model.inputs || batch !== 1) {
    throw badValue(
      at,
      `${at} is ${JSON.stringify(shape)}, ${model.manifest.id} is fed vectors of ${model.inputs} numbers: it must be [n, ${model.inputs}] or [1, n, ${model.inputs}]`,
    );
  }
  const numbers = numbersOf(tensor, "inputs[0]");
  // What is left of flat data are numbers, which are no rows.
  const rows = data.flat(shape.length === 3 ? 1 : 0);
  const uneven = rows.findIndex((row) => typeof row === "object" && row.length !== width);
  if (uneven >= 0) {
    const { length } = rows[uneven] as number[];
    throw badValue("inputs[0].data", `row ${uneven} of inputs[0].data has ${length} numbers, not ${width}`);
  }
  if (numbers.length !== count! * width) {
    throw badValue(
      at,
      `${at} is ${JSON.stringify(shape)}, which takes ${count! * width} numbers, the data are ${numbers.length}: they must agree`,
    );
  }
  const vectors = Float32Array.from(numbers);
  const bad = vectors.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0)
    throw badValue("inputs[0].data", `number ${bad} of inputs[0].data is ${numbers[bad]}: it must be within f32`);
  return vectors;
}
