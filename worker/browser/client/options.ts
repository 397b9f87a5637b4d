import type { ClassifyOptions, GenerateOptions, LoadOptions, PredictOptions } from "./api.ts";
import { named } from "./channel.ts";

/** The options of a call; the compiler sees to it that none is missing and none is too many. */
type Names<T> = Readonly<Record<keyof T, true>>;

const LOAD: Names<LoadOptions> = {
  backend: true,
  onProgress: true,
  signal: true,
  edge: true,
  apiKey: true,
  memoryBudget: true,
  store: true,
};

const GENERATE: Names<GenerateOptions> = {
  maxTokens: true,
  temperature: true,
  topP: true,
  topK: true,
  minP: true,
  repetitionPenalty: true,
  frequencyPenalty: true,
  presencePenalty: true,
  logitBias: true,
  seed: true,
  stop: true,
  responseFormat: true,
  signal: true,
};

const PREDICT: Names<PredictOptions> = { signal: true };
const CLASSIFY: Names<ClassifyOptions> = { topK: true, observe: true, signal: true };

export const KNOWN = {
  loadModel: LOAD,
  loadImageModel: LOAD,
  generate: GENERATE,
  chat: GENERATE,
  append: GENERATE,
  predict: PREDICT,
  classify: CLASSIFY,
};

/** What a misspelled option means would be guessed. @returns a ParameterError that names it and those that there are */
export function unknownOption(call: keyof typeof KNOWN, options: object): Error | undefined {
  const known = Object.keys(KNOWN[call]);
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return undefined;
  return named("ParameterError", `${call} has no option "${unknown}": there are ${known.join(", ")}`);
}

/** @throws Error named ParameterError, as unknownOption says */
export function checkOptions(call: keyof typeof KNOWN, options: object): void {
  const error = unknownOption(call, options);
  if (error !== undefined) throw error;
}
