import type {
  BackendName,
  ChatMessage,
  Chunk,
  Example,
  GenerationResult,
  ModelInfo,
  PredictionResult,
} from "../client/api.ts";
import type { WireOptions } from "../protocol.ts";

/** The signal ends it after the token in work, at once while the prompt is read; it then returns, with finishReason "cancelled". */
export type HostGeneration = AsyncGenerator<Chunk, GenerationResult>;

/** What a model computes on; it changes when WebGPU is ready, and when a backend fails. */
export interface Chosen {
  backend: BackendName;
  reason: string;
}

/** A model in the Web Worker, wherever it computes. */
export interface HostModel {
  readonly info: ModelInfo;
  readonly backend: BackendName;
  readonly reason: string;
  generate(prompt: string, options: WireOptions, signal: AbortSignal): HostGeneration;
  chat(messages: readonly ChatMessage[], options: WireOptions, signal: AbortSignal): HostGeneration;
  session(): Promise<HostSession>;
  /** @throws the signal's reason */
  predict(
    examples: readonly Example[],
    queries: readonly (readonly number[])[],
    signal: AbortSignal,
  ): Promise<PredictionResult>;
  dispose(): void;
}

export interface HostSession {
  readonly tokens: number;
  append(text: string, options: WireOptions, signal: AbortSignal): HostGeneration;
  fork(): Promise<HostSession>;
  save(): Promise<Uint8Array<ArrayBuffer>>;
  restore(bytes: Uint8Array): Promise<void>;
  push(id: string | undefined): Promise<string>;
  pull(id: string): Promise<void>;
  dispose(): void;
}
