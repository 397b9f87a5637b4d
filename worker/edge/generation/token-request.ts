import type { Model } from "../../engine/model.ts";
import type { Limits } from "../env.ts";
import { badValue } from "../http/api-error.ts";
import { mostPromptTokens, promptTooLong } from "../models/request-budget.ts";
import type { InferRequest } from "../schemas/inference.ts";
import type { TokenInference } from "./infer-tokens.ts";
import { numbersOf } from "./tensor-data.ts";

/** Most numbers in a reply: some 20 MB of JSON. */
const MOST_NUMBERS = 1_048_576;

/** What the tensors of a request for tokens ask for. @throws ApiError 400 on tensors that do not go together */
export function readTokens({ inputs, outputs, parameters }: InferRequest): TokenInference {
  const tensor = (name: "tokens" | "targets"): number[] | undefined => {
    const [index = -1, second] = inputs.flatMap((input, i) => (input.name === name ? [i] : []));
    const input = inputs[index];
    if (input === undefined) return undefined;
    if (second !== undefined) throw badValue(`inputs[${second}].name`, `there are two tensors "${name}": send one`);
    const data = numbersOf(input, `inputs[${index}]`);
    const at = `inputs[${index}].shape`;
    if (input.shape.at(-1) !== data.length || (input.shape.length === 2 && input.shape[0] !== 1)) {
      const seen = JSON.stringify(input.shape);
      throw badValue(
        at,
        `${at} is ${seen}, the data are ${data.length} token ids: it must be [${data.length}] or [1, ${data.length}]`,
      );
    }
    return data;
  };
  const tokens = tensor("tokens");
  const targets = tensor("targets");
  if (tokens === undefined) throw badValue("inputs", 'inputs has no tensor "tokens": give the token ids to feed');
  if (tokens.length === 0) throw badValue("inputs", 'the tensor "tokens" is empty: give at least one token id');
  if (targets !== undefined && targets.length !== tokens.length) {
    throw badValue(
      "inputs",
      `there are ${targets.length} targets for ${tokens.length} tokens: give one for each token`,
    );
  }
  const names = outputs?.map((output) => output.name) ?? ["logits", ...(targets === undefined ? [] : ["log_probs"])];
  if (names.length === 0) throw badValue("outputs", "outputs is []: name one, or leave it out for all of them");
  if (names.includes("log_probs") && targets === undefined) {
    throw badValue("outputs", 'log_probs are of targets: give the tensor "targets"');
  }
  const logits = names.includes("logits") ? (parameters?.positions ?? "last") : "none";
  return { tokens, targets: names.includes("log_probs") ? targets : undefined, logits };
}

/** Whether a model may be asked that. @throws ApiError 400 with the limit and the number seen */
export function checkTokens(model: Model, limits: Limits, { tokens, targets, logits }: TokenInference): void {
  const { id } = model.manifest;
  const most = mostPromptTokens(model, limits);
  if (tokens.length > most) throw promptTooLong(model, limits, "tokens", String(tokens.length));
  for (const [name, ids] of Object.entries({ tokens, targets: targets ?? [] })) {
    const unknown = ids.find((token) => token >= model.vocab);
    if (unknown === undefined) continue;
    throw badValue(
      name,
      `${name} has ${unknown}: the vocabulary of ${id} has ${model.vocab} tokens, 0 to ${model.vocab - 1}`,
    );
  }
  const heads = targets !== undefined || logits === "all" ? tokens.length : 1;
  const cost = tokens.length * model.multiplyAddsPerToken + heads * model.multiplyAddsPerHead;
  if (cost > limits.maxMultiplyAdds) {
    throw badValue(
      "tokens",
      `${tokens.length} tokens cost ${cost} multiply-adds, a request may cost ${limits.maxMultiplyAdds}: send fewer`,
    );
  }
  if (logits === "all" && tokens.length * model.vocab > MOST_NUMBERS) {
    throw badValue(
      "parameters.positions",
      `the logits of ${tokens.length} positions are ${tokens.length * model.vocab} numbers, a reply has at most ${MOST_NUMBERS}: send ${Math.floor(MOST_NUMBERS / model.vocab)} tokens, or ask for log_probs`,
    );
  }
}
