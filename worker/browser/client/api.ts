/** What `import { loadModel, loadImageModel } from "mamba-edge/client"` gives. Types only, and complete in this file: it is published as client.d.ts. */

/** "webgpu" and "wasm" compute in this browser, "rest" asks the edge. */
export type BackendName = "webgpu" | "wasm" | "rest";

/** How far a load is. */
export interface LoadProgress {
  /** "download" brings files into this browser's storage, "prepare" brings them into memory, "check" compares and measures backends. */
  readonly stage: "download" | "prepare" | "check";
  /** bytes done of the stage; files that were stored before count as done. */
  readonly loaded: number;
  readonly total: number;
}

export interface LoadOptions {
  /**
   * Default "auto": WASM at once, and WebGPU as soon as its kernels are compiled, where the adapter is real, agrees with WASM and is
   * faster; where no memory holds the model, REST. `model.reason` says why, and `onBackendChange` when it changes.
   */
  readonly backend?: BackendName | "auto";
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Ends the load. What was stored stays, and the next load goes on from it. */
  readonly signal?: AbortSignal;
  /** base URL of the Worker that REST and hand-over speak to. Default the origin of the package's URL. */
  readonly edge?: string;
  /** of a deployment that asks for keys. It is sent to `edge` alone, for the package's files only where these are not public. */
  readonly apiKey?: string;
  /** most bytes of memory for the model. Default a quarter of the device's, where the browser tells, else 1 GiB. */
  readonly memoryBudget?: number;
  /** false loads from the network into memory and stores nothing. Default true. */
  readonly store?: boolean;
}

/** What a text must be, as the REST interface's response_format. */
export type ResponseFormat =
  | { readonly type: "text" }
  /** A JSON object. */
  | { readonly type: "json_object" }
  /** JSON that a schema (draft 2020-12; which of its keywords, worker/edge/routes/README.md says) allows; without one, any. */
  | {
      readonly type: "json_schema";
      readonly json_schema: {
        /** 1 to 64 letters, digits, _ or -. */
        readonly name: string;
        readonly schema?: object;
        /** A schema is always kept to. */
        readonly strict?: boolean;
        readonly description?: string;
      };
    };

export interface GenerateOptions {
  /** Default 128; 0 only appends. */
  readonly maxTokens?: number;
  /** [0, 2]; 0 takes the most probable token. Default 1. */
  readonly temperature?: number;
  /** (0, 1]. Default 1. */
  readonly topP?: number;
  /** 0 is off, the default. */
  readonly topK?: number;
  /** [0, 1]; 0 is off, the default. */
  readonly minP?: number;
  /** (0, 2]. Default 1. */
  readonly repetitionPenalty?: number;
  /** [-2, 2]. Default 0. */
  readonly frequencyPenalty?: number;
  /** [-2, 2]. Default 0. */
  readonly presencePenalty?: number;
  /** token id → [-100, 100]. */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** An integer, 0 to 2^53 − 1: the same seed gives the same text, on the edge too. Default the session's last, else random. */
  readonly seed?: number;
  /** up to 16 texts that end the reply and are not part of it. */
  readonly stop?: readonly string[];
  /** The text is whole, within maxTokens, and ends by itself, unless a stop text or the signal cuts it. Default any text. */
  readonly responseFormat?: ResponseFormat;
  /**
   * Ends the generation after the token in work. A session keeps what was generated and can go on; one at the edge has it computed there
   * once more.
   */
  readonly signal?: AbortSignal;
}

/** A piece of text that is final. */
export interface Chunk {
  readonly text: string;
  /** tokens sampled since the last piece. */
  readonly tokens: number;
  /** tokens of the sequence so far, the prompt's included. */
  readonly length: number;
  /** milliseconds since the call began. */
  readonly at: number;
}

export interface GenerationResult {
  /** all text of this call. */
  readonly text: string;
  /** "stop": a stop text, or a control token of the model's, which is never part of the text; "length": maxTokens; "cancelled": the signal, or the iteration was left. */
  readonly finishReason: "stop" | "length" | "cancelled";
  /** tokens in front of the first generated one. */
  readonly promptTokens: number;
  /** those of them that the state held already. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly seed: number;
  /** milliseconds until the first token, absent without any, and until the end. */
  readonly firstTokenMs?: number;
  readonly totalMs: number;
  /** the backend that the last token came from: it changes when a GPU is lost. */
  readonly backend: BackendName;
}

/**
 * Pieces of text as they come. Leaving the loop ends the generation. It starts at once, whether it is iterated or not. What fails, also
 * before it starts, is thrown by the loop.
 */
export interface Generation extends AsyncIterable<Chunk> {
  /** Settles at the end; it rejects with what failed, and does not when cancelled. */
  readonly result: Promise<GenerationResult>;
}

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** One text and what the model remembers of it: a state of fixed size. */
export interface Session {
  /** tokens of the text so far. */
  readonly tokens: number;
  /** Feeds text and generates. An append that fails leaves the session as it was. One at a time, or its result is a SessionBusyError. */
  append(text: string, options?: GenerateOptions): Generation;
  /** A second session with the same past. Neither changes the other. */
  fork(): Promise<Session>;
  /** The state as bytes (application/vnd.mamba-edge.state), to be stored and restored anywhere. */
  save(): Promise<Uint8Array<ArrayBuffer>>;
  /** Goes on from saved bytes; all of them are checked first. */
  restore(bytes: Uint8Array): Promise<void>;
  /** Stores the state at the edge: in the edge session `id`, else in a new one. Returns its id. */
  push(id?: string): Promise<string>;
  /** Goes on from an edge session. */
  pull(id: string): Promise<void>;
  dispose(): Promise<void>;
}

/** What the edge refused: `name` is "EdgeError". */
export interface EdgeError extends Error {
  /** HTTP's: 401 where `apiKey` is missing or wrong; absent when there was no reply. */
  readonly status?: number;
}

/** What a model is to learn from: a y for an x. */
export interface Example {
  /** as many numbers as `ModelInfo.inputs` says. */
  readonly x: readonly number[];
  /** a number, or at most as many as x has. */
  readonly y: number | readonly number[];
}

export interface PredictOptions {
  /**
   * Brings data of any scale, of up to as many numbers an x as the model takes, to what models of linear regression were trained on, and
   * predictions back. It takes two examples or more, with a number for each y. Default false.
   */
  readonly standardize?: boolean;
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What a model makes of examples. A prediction is a list of as many numbers as `ModelInfo.outputs` says: [2.6] where REST has 2.6. */
export interface PredictionResult {
  /** of each query, all examples seen. */
  readonly predictions: readonly (readonly number[])[];
  /** of each example's x, those in front of it seen and its y not. */
  readonly before: readonly (readonly number[])[];
  /** bytes that the model remembers the examples in. */
  readonly stateBytes: number;
  /** where there are more examples than the model was trained with: that it may be worse. */
  readonly note?: string;
  readonly totalMs: number;
  readonly backend: BackendName;
}

export interface ModelInfo {
  /** name@hash: equal ids compute the same. */
  readonly id: string;
  readonly name: string;
  readonly architecture: string;
  readonly quantization: string;
  /** 0 of models that are not fed tokens. */
  readonly vocab: number;
  /** numbers of an example's x, and of a prediction; 0 of models that do not learn from examples. */
  readonly inputs: number;
  readonly outputs: number;
  /** examples before a question, at most, while such a model was trained, where its package says so. */
  readonly trainedExamples?: number;
  readonly layers: number;
  /** width of the residual stream. */
  readonly dim: number;
  readonly parameters: number;
  /** bytes of the weights as stored. */
  readonly bytes: number;
  /** bytes of a sequence's state, whatever its length. */
  readonly stateBytes: number;
  /** whether the package says how a chat is written. Without, messages are paragraphs. */
  readonly chatTemplate: boolean;
}

export interface BrowserModel {
  readonly info: ModelInfo;
  readonly backend: BackendName;
  /** why it is this backend, in words for people. */
  readonly reason: string;
  /** Text from a prompt, in a sequence of its own. */
  generate(prompt: string, options?: GenerateOptions): Generation;
  /** A reply to a conversation. One that is sent again with more behind it costs what is new. */
  chat(messages: readonly ChatMessage[], options?: GenerateOptions): Generation;
  session(): Promise<Session>;
  /**
   * What a model that learns in its context (`info.inputs` > 0) says of queries after examples. The queries do not see one another.
   * @throws Error named ParameterError on what it cannot take, ModelError on a language model
   */
  predict(
    examples: readonly Example[],
    queries: readonly (readonly number[])[],
    options?: PredictOptions,
  ): Promise<PredictionResult>;
  /** Requests to `edge` bear this key from now on, or none, in place of the one before: nothing is loaded anew. */
  setApiKey(apiKey: string | undefined): Promise<void>;
  /** Called when the backend changes, or its reason: WebGPU is ready, or a GPU is lost. Returns how to end that. */
  onBackendChange(listener: (backend: BackendName, reason: string) => void): () => void;
  /** Frees everything: sessions, memory, the Web Worker. Stored files stay. */
  dispose(): Promise<void>;
}

export interface ImageModelInfo {
  /** name@hash: equal ids compute the same. */
  readonly id: string;
  readonly name: string;
  readonly architecture: string;
  readonly quantization: string;
  readonly parameters: number;
  /** bytes of the weights as stored. */
  readonly bytes: number;
  /** pixels that the network sees of a picture. */
  readonly height: number;
  readonly width: number;
  /** names of the classes, where the package has them. */
  readonly classes?: readonly string[];
  /** how many stages can be observed. */
  readonly stages: number;
}

export interface ClassifyOptions {
  /** how many classes, the best first. Default 5. */
  readonly topK?: number;
  /** number of a stage, from 1: asks for `scans`. */
  readonly observe?: number;
  /** Ends it between two blocks of the network. */
  readonly signal?: AbortSignal;
}

export interface ImageClassification {
  readonly classes: readonly {
    readonly index: number;
    /** the class's name; its number where the package has none. */
    readonly label: string;
    /** softmax over all classes. */
    readonly score: number;
  }[];
  /** pixels of the picture, the right way up. */
  readonly size: { readonly width: number; readonly height: number };
  /** the part of it that the network saw. */
  readonly crop: { readonly left: number; readonly top: number; readonly width: number; readonly height: number };
  /**
   * How strongly each of the four scans of the observed stage responded at each position: (4, height, width), row by row, the scans row by
   * row, column by column, and both from the end.
   */
  readonly scans?: { readonly height: number; readonly width: number; readonly values: readonly number[] };
  /**
   * milliseconds to decode and resize, of each stage of the network (at the edge on its clock, which may stand still; on WebGPU of all
   * together), and in all.
   */
  readonly decodeMs: number;
  readonly stages: readonly { readonly stage: string; readonly milliseconds: number }[];
  readonly totalMs: number;
  readonly backend: BackendName;
}

export interface ImageModel {
  readonly info: ImageModelInfo;
  readonly backend: BackendName;
  /** why it is this backend, in words for people. */
  readonly reason: string;
  /**
   * Classes of a picture in any format that this browser shows; at the edge JPEG, PNG or WebP, made smaller here where it is large.
   * @throws Error named ImageError (it cannot be decoded), ParameterError, EdgeError, AbortError …
   */
  classify(picture: Blob, options?: ClassifyOptions): Promise<ImageClassification>;
  /** As BrowserModel's. */
  setApiKey(apiKey: string | undefined): Promise<void>;
  /** As BrowserModel's. */
  onBackendChange(listener: (backend: BackendName, reason: string) => void): () => void;
  /** Frees everything: memory, the Web Worker. Stored files stay. */
  dispose(): Promise<void>;
}

/**
 * Loads a package that is fed images, in a Web Worker of its own. Backends are chosen as LoadModel does.
 * @param url as LoadModel's
 * @throws as LoadModel
 */
export type LoadImageModel = (url: string | URL, options?: LoadOptions) => Promise<ImageModel>;

/**
 * Loads a model package, in a Web Worker of its own.
 * @param url the package's folder, such as https://host/weights/name@0123456789ab; or https://host/weights/name for the package that the
 * deployment's /weights/index.json has of that name
 * @throws Error whose `name` says what failed: PackageError (with the names that there are, where the address is no package's),
 * StorageError, MemoryBudgetError, BackendError, EdgeError, AbortError …
 */
export type LoadModel = (url: string | URL, options?: LoadOptions) => Promise<BrowserModel>;
