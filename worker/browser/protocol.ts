import type {
  BackendName,
  ChatMessage,
  Chunk,
  ClassifyOptions,
  Example,
  GenerateOptions,
  GenerationResult,
  ImageClassification,
  ImageModelInfo,
  LoadOptions,
  LoadProgress,
  ModelInfo,
  PredictionResult,
} from "./client/api.ts";

/** What the page and its Web Worker say to each other. Handles are numbers that the Web Worker gave. */

export interface WirePrediction {
  readonly examples: readonly Example[];
  readonly queries: readonly (readonly number[])[];
  readonly standardize?: boolean | undefined;
}

export type WireOptions = Omit<GenerateOptions, "signal">;

export type WireClassifyOptions = Omit<ClassifyOptions, "signal">;

export interface Loaded {
  readonly info: ModelInfo;
  readonly backend: BackendName;
  readonly reason: string;
}

export interface LoadedImages {
  readonly info: ImageModelInfo;
  readonly backend: BackendName;
  readonly reason: string;
}

export interface SessionHandle {
  readonly session: number;
  readonly tokens: number;
}

/** Calls with one reply each: name → [arguments, reply]. */
export interface Calls {
  load: [{ url: string; options: Omit<LoadOptions, "onProgress" | "signal"> }, Loaded];
  loadImages: [{ url: string; options: Omit<LoadOptions, "onProgress" | "signal"> }, LoadedImages];
  classify: [{ picture: Blob; options: WireClassifyOptions }, ImageClassification];
  session: [undefined, SessionHandle];
  fork: [{ session: number }, SessionHandle];
  save: [{ session: number }, Uint8Array<ArrayBuffer>];
  restore: [{ session: number; bytes: Uint8Array }, SessionHandle];
  push: [{ session: number; id: string | undefined }, string];
  pull: [{ session: number; id: string }, SessionHandle];
  release: [{ session: number }, undefined];
  predict: [WirePrediction, PredictionResult];
  setApiKey: [{ apiKey: string | undefined }, undefined];
  dispose: [undefined, undefined];
}

/** Calls that stream chunks before their reply, a result. */
export interface Streams {
  generate: { prompt: string; options: WireOptions };
  chat: { messages: readonly ChatMessage[]; options: WireOptions };
  append: { session: number; text: string; options: WireOptions };
}

export type Request =
  | { [K in keyof Calls]: { id: number; call: K; args: Calls[K][0] } }[keyof Calls]
  | { [K in keyof Streams]: { id: number; stream: K; args: Streams[K] } }[keyof Streams]
  | { id: number; cancel: true };

export interface WireError {
  readonly name: string;
  readonly message: string;
  /** of an EdgeError: HTTP's. */
  readonly status?: number;
}

export type Reply =
  | { id: number; chunk: Chunk }
  | { id: number; progress: LoadProgress }
  | { id: number; value: unknown }
  | { id: number; result: GenerationResult }
  | { id: number; error: WireError }
  | { backend: BackendName; reason: string };
