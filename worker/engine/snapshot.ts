import { Packr } from "msgpackr";
import { grows, stateLayout, stateLength } from "../../kernels/state.ts";
import { NonFiniteStateError, SnapshotError } from "./errors.ts";
import type { Model } from "./model.ts";
import { PenaltyWindow, type PenaltyWindowArrays } from "./penalty-window.ts";
import { Sequence } from "./sequence.ts";
import { checkHeader } from "./snapshot-header.ts";
import { Utf8Stream } from "./utf8-stream.ts";

/**
 * All of a sequence, to be stored and continued anywhere. As bytes (media type application/vnd.mamba-edge.state):
 * "MAMBASNP", u32 version, u32 header length, header (msgpack), zeros up to a multiple of 4, the canonical state in f32, and the
 * sha256 (32 bytes) of everything before it. Numbers are little-endian.
 */
export interface Snapshot {
  /** id of the package that made it. */
  readonly model: string;
  /** id without the quantization. */
  readonly family: string;
  readonly consumed: number;
  readonly pending: readonly number[];
  readonly window: PenaltyWindowArrays;
  readonly seed: number | undefined;
  readonly utf8: Uint8Array;
  readonly held: string;
  /** canonical order, kernels/state.ts; of parts that grow what is filled. */
  readonly state: Float32Array;
}

export const SNAPSHOT_MEDIA_TYPE = "application/vnd.mamba-edge.state";

const MAGIC = new TextEncoder().encode("MAMBASNP");
const VERSION = 1;
const PREFIX_BYTES = MAGIC.length + 8;
const DIGEST_BYTES = 32;

// Records off: plain maps need no code generation, which workers forbid.
const packr = new Packr({ useRecords: false, moreTypes: true });

/** Takes a snapshot of a sequence. @throws NonFiniteStateError when nothing could go on from it */
export async function takeSnapshot(sequence: Sequence): Promise<Snapshot> {
  sequence.checkUsable();
  const { id, family } = sequence.model.manifest;
  const state = await sequence.state.read();
  const bad = firstNonFinite(state);
  if (bad >= 0) throw new NonFiniteStateError(bad, state[bad]!);
  return {
    model: id,
    family,
    consumed: sequence.consumed,
    pending: [...sequence.pending],
    window: sequence.window.toArrays(),
    seed: sequence.seed,
    utf8: sequence.utf8,
    held: sequence.held,
    state,
  };
}

/**
 * A sequence that goes on where the snapshot was taken. Everything is checked before anything is applied.
 * @throws SnapshotError when it is another model's, another quantization's (unless allowed), or its values cannot be this model's
 */
export function restoreSnapshot(
  model: Model,
  snapshot: Snapshot,
  options: { readonly otherQuantization?: boolean } = {},
): Sequence {
  const { id, family } = model.manifest;
  if (snapshot.family !== family) {
    throw new SnapshotError(
      `the snapshot was made by ${snapshot.model}, this is ${id}: a state continues only on the model that made it`,
    );
  }
  if (snapshot.model !== id && options.otherQuantization !== true) {
    throw new SnapshotError(
      `the snapshot was made by ${snapshot.model}, the same model at another quantization than ${id}: allow that explicitly to continue it here`,
    );
  }
  if (grows(model.blocks) && snapshot.consumed > model.positionLimit) {
    throw new SnapshotError(
      `the snapshot has ${snapshot.consumed} positions, the attention of ${id} holds at most ${model.positionLimit}`,
    );
  }
  const length = stateLength(stateLayout(model.blocks, snapshot.consumed));
  if (snapshot.state.length !== length) {
    throw new SnapshotError(`a state of ${id} has ${length} values, the snapshot has ${snapshot.state.length}`);
  }
  const bad = firstNonFinite(snapshot.state);
  if (bad >= 0)
    throw new SnapshotError(`value ${bad} of the snapshot's state is ${snapshot.state[bad]}: a state must be finite`);
  const token = [...snapshot.pending, ...snapshot.window.tokens].find((t) => t >= model.vocab);
  if (token !== undefined) {
    throw new SnapshotError(`the snapshot holds token ${token}, the vocabulary of ${id} ends at ${model.vocab - 1}`);
  }
  const { window, utf8 } = parts(snapshot);
  const sequence = new Sequence(model);
  sequence.state.write(snapshot.state);
  sequence.consumed = snapshot.consumed;
  sequence.pending = [...snapshot.pending];
  sequence.window = window;
  sequence.seed = snapshot.seed;
  sequence.utf8 = utf8;
  sequence.held = snapshot.held;
  return sequence;
}

/** Index of the first value that is NaN or infinite; −1 where all are finite. */
function firstNonFinite(values: Float32Array): number {
  // 0 · v is 0 for finite v and NaN otherwise: a sum takes a tenth of findIndex's time.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += 0 * values[i]!;
  return sum === 0 ? -1 : values.findIndex((v) => !Number.isFinite(v));
}

function parts(snapshot: Snapshot): { window: PenaltyWindow; utf8: Uint8Array } {
  try {
    return { window: PenaltyWindow.fromArrays(snapshot.window), utf8: new Utf8Stream(snapshot.utf8).pending };
  } catch (error) {
    throw new SnapshotError(`the snapshot's values do not fit together: ${(error as Error).message}`);
  }
}

/** As bytes, with its digest. */
export async function encodeSnapshot(snapshot: Snapshot): Promise<Uint8Array> {
  const { state, seed, ...rest } = snapshot;
  const header = packr.pack({ ...rest, seed: seed ?? null });
  const stateAt = (PREFIX_BYTES + header.length + 3) & ~3;
  const digestAt = stateAt + state.byteLength;
  const bytes = new Uint8Array(digestAt + DIGEST_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(MAGIC.length, VERSION, true);
  view.setUint32(MAGIC.length + 4, header.length, true);
  bytes.set(header, PREFIX_BYTES);
  bytes.set(new Uint8Array(state.buffer, state.byteOffset, state.byteLength), stateAt);
  bytes.set(await digest(bytes.subarray(0, digestAt)), digestAt);
  return bytes;
}

/** Reads bytes that may come from anywhere. @throws SnapshotError saying what is wrong with them */
export async function decodeSnapshot(bytes: Uint8Array): Promise<Snapshot> {
  if (bytes.length < PREFIX_BYTES + DIGEST_BYTES || MAGIC.some((m, i) => bytes[i] !== m)) {
    throw new SnapshotError(`these ${bytes.length} bytes are not a snapshot: it begins with "MAMBASNP"`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(MAGIC.length, true);
  if (version !== VERSION)
    throw new SnapshotError(`the snapshot has format version ${version}, this release reads ${VERSION}`);
  const digestAt = bytes.length - DIGEST_BYTES;
  const [want, seen] = [bytes.subarray(digestAt), await digest(bytes.subarray(0, digestAt))];
  if (seen.some((b, i) => b !== want[i])) {
    throw new SnapshotError(
      "the snapshot's sha256 does not match its bytes: it was truncated or altered; send the bytes as they were read",
    );
  }
  const headerLength = view.getUint32(MAGIC.length + 4, true);
  const stateAt = (PREFIX_BYTES + headerLength + 3) & ~3;
  if (stateAt > digestAt || (digestAt - stateAt) % 4 !== 0)
    throw new SnapshotError("the snapshot's header length does not fit its size");
  const { seed, ...rest } = checkHeader(unpack(bytes.slice(PREFIX_BYTES, PREFIX_BYTES + headerLength)));
  return { ...rest, seed: seed ?? undefined, state: new Float32Array(bytes.slice(stateAt, digestAt).buffer) };
}

/** A name for what the snapshot holds: equal content has equal ids. */
export function snapshotId(encoded: Uint8Array): string {
  const hex = Array.from(encoded.subarray(-DIGEST_BYTES, -DIGEST_BYTES + 12), (b) => b.toString(16).padStart(2, "0"));
  return `snap_${hex.join("")}`;
}

function unpack(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes);
  } catch (error) {
    throw new SnapshotError(`the snapshot's header cannot be read: ${(error as Error).message}`);
  }
}

async function digest(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as BufferSource));
}
