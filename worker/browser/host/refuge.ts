import { KernelError } from "../../../kernels/backend.ts";
import { MemoryBudgetError } from "../../engine/errors.ts";
import { heldText } from "../../engine/generate.ts";
import { PenaltyWindow } from "../../engine/penalty-window.ts";
import type { Sequence } from "../../engine/sequence.ts";
import { decodeSnapshot, encodeSnapshot, type Snapshot } from "../../engine/snapshot.ts";
import type { GenerationResult, ModelInfo } from "../client/api.ts";
import type { WireOptions } from "../protocol.ts";
import type { Edge } from "./edge.ts";
import type { HostGeneration, HostModel, HostSession } from "./host-model.ts";
import { JournaledState, type Past } from "./journaled-state.ts";
import { MovableState } from "./movable.ts";
import { remoteModel } from "./remote-model.ts";
import { remoteSession } from "./remote-session.ts";

/** Whether an error says that this browser gives no more memory: WebAssembly.Memory says RangeError, the kernels say it with that cause. */
export function isOutOfMemory(error: unknown): boolean {
  return (
    error instanceof MemoryBudgetError ||
    error instanceof RangeError ||
    (error instanceof KernelError && error.cause instanceof RangeError)
  );
}

/** What is left to do of a generation that stopped in its midst. */
export interface Rest {
  readonly options: WireOptions;
  readonly endTokens: ReadonlySet<number> | undefined;
  /** false gives out at the end what the text holds back. */
  readonly keepHeld: boolean;
  readonly signal: AbortSignal;
}

/** Where a model goes on when this browser's memory no longer holds it: at the edge, from the same states with the same draws. */
export class Refuge {
  readonly #edge: Edge;
  readonly #info: ModelInfo;
  readonly #onMove: (cause: unknown) => void;
  #model: HostModel | undefined;

  /** @param onMove told once, when the model has gone there */
  constructor(edge: Edge, info: ModelInfo, onMove: (cause: unknown) => void) {
    this.#edge = edge;
    this.#info = info;
    this.#onMove = onMove;
  }

  /** The model there, once something had to go there. */
  get model(): HostModel | undefined {
    return this.#model;
  }

  /** From now on everything goes there. */
  move(cause: unknown): HostModel {
    if (this.#model === undefined) {
      this.#model = remoteModel(this.#edge, this.#info, "");
      this.#onMove(cause);
    }
    return this.#model;
  }

  /** A session at the edge that is what the sequence is. */
  async take(sequence: Sequence): Promise<HostSession> {
    return remoteSession(this.#edge, this.#info, await this.#edge.readSession(await this.#store(sequence)));
  }

  /** Goes on in the midst of a generation. @param keep given the session when it is to be kept */
  async *goOn(sequence: Sequence, rest: Rest, keep?: (session: HostSession) => void): HostGeneration {
    const id = await this.#store(sequence);
    const session = remoteSession(this.#edge, this.#info, await this.#edge.readSession(id));
    if (rest.options.maxTokens === 0) {
      keep?.(session);
      return nothingMore(rest.options.seed);
    }
    const stops = rest.endTokens && { stop_token_ids: [...rest.endTokens] };
    try {
      const result = yield* session.append("", { ...rest.options, ...stops }, rest.signal);
      keep?.(session);
      if (rest.keepHeld || result.finishReason !== "length") return result;
      const text = heldText(await decodeSnapshot(await session.save()), rest.options.stop ?? []);
      if (text === "") return result;
      yield { text, tokens: 0, length: result.promptTokens + result.completionTokens, at: result.totalMs };
      return { ...result, text: result.text + text };
    } finally {
      if (keep === undefined) await this.#edge.removeSession(id).catch(() => {});
    }
  }

  /** The edge feeds what the state has not seen; what only this side knows of the text is put into its state. */
  async #store(sequence: Sequence): Promise<string> {
    const { base, tokens } = await pastOf(sequence);
    const { id } = await this.#edge.createSession(this.#info.id);
    const put = async (snapshot: Snapshot): Promise<void> => this.#edge.writeState(id, await encodeSnapshot(snapshot));
    const fresh = { model: this.#info.id, family: familyOf(sequence) };
    const text = { window: sequence.window.toArrays(), seed: sequence.seed, utf8: sequence.utf8, held: sequence.held };
    const unseen = [...tokens, ...sequence.pending];
    if (base !== undefined) {
      const whole = tokens.length === 0 && unseen.length <= 1;
      const consumed = sequence.consumed - tokens.length;
      const untold = { window: new PenaltyWindow().toArrays(), seed: sequence.seed, utf8: new Uint8Array(0), held: "" };
      await put({ ...fresh, consumed, pending: whole ? unseen : [], state: base, ...(whole ? text : untold) });
      if (whole) return id;
    }
    if (unseen.length === 0) return id;
    await this.#edge.appendTokens(id, unseen);
    await put({ ...(await decodeSnapshot(await this.#edge.readState(id))), ...text });
    return id;
  }
}

/** Of an append that asked for no text. */
function nothingMore(seed = 0): GenerationResult {
  const counts = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, totalMs: 0 };
  return { text: "", finishReason: "length", ...counts, seed, backend: "rest" };
}

async function pastOf({ state }: Sequence): Promise<Past> {
  if (state instanceof JournaledState || state instanceof MovableState) return state.past();
  return { base: await state.read(), tokens: [] };
}

function familyOf({ model }: Sequence): string {
  return model.manifest.family;
}
