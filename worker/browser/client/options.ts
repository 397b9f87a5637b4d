import type { ClassifyOptions, GenerateOptions, LoadOptions, PredictOptions } from "./api.ts";
import { named } from "./channel.ts";
import {
  address,
  anything,
  bytesOfMemory,
  check,
  flag,
  type Kind,
  listener,
  number,
  oneOf,
  record,
  signal,
  text,
  texts,
  wrong,
} from "./kinds.ts";

/** What the options of a call have to be; the compiler sees to it that none is missing and none is too many. */
type Kinds<T> = Readonly<Record<keyof T, Kind>>;

const LOAD: Kinds<LoadOptions> = {
  backend: oneOf("auto", "webgpu", "wasm", "rest"),
  onProgress: listener,
  signal,
  edge: address,
  apiKey: text,
  memoryBudget: bytesOfMemory,
  store: flag,
};

/** Ranges are the engine's, and the edge's, to refuse. */
const GENERATE: Kinds<GenerateOptions> = {
  maxTokens: number,
  temperature: number,
  topP: number,
  topK: number,
  minP: number,
  repetitionPenalty: number,
  frequencyPenalty: number,
  presencePenalty: number,
  logitBias: { ...record, what: "an object of token ids and numbers, such as { 0: -100 }" },
  seed: number,
  stop: texts,
  responseFormat: anything, // host/response-format.ts
  signal,
};

const PREDICT: Kinds<PredictOptions> = { standardize: flag, signal };
const CLASSIFY: Kinds<ClassifyOptions> = { topK: number, observe: number, signal };

export const KNOWN = {
  loadModel: LOAD,
  loadImageModel: LOAD,
  generate: GENERATE,
  chat: GENERATE,
  append: GENERATE,
  predict: PREDICT,
  classify: CLASSIFY,
};

/**
 * The options that were given; null means left out, as at the edge. What a misspelled one means would be guessed.
 * @throws Error named ParameterError that names the option, what was seen, and what there is
 */
export function optionsOf<T extends object>(call: keyof typeof KNOWN, options: T | undefined): Partial<T> {
  const given: unknown = options ?? {};
  if (!record.fits(given)) throw wrong(`the last argument of ${call}`, given, "an object of options");
  const kinds: Readonly<Record<string, Kind>> = KNOWN[call];
  const entries = Object.entries(given as object).filter(([name, value]) => {
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (kind === undefined) {
      const known = Object.keys(kinds).join(", ");
      throw named("ParameterError", `${call} has no option "${name}": there are ${known}`);
    }
    if (value === undefined || value === null) return false;
    check(name, value, kind);
    return true;
  });
  return Object.fromEntries(entries) as Partial<T>;
}
