/**
 * Bringing a package's weights to where they are computed with. One load is shared by all who wait for the model: one of them leads
 * it and may compute on what has arrived between the shards, the others follow its counts, and any of them can take over.
 */
import { type Arrival, checkHash, fetchFile, openStream } from "./arrival.ts";
import { decodeManifest } from "./codec.ts";
import { LeadershipLost, PackageError } from "./errors.ts";
import { sha256 } from "./hash.ts";
import { type FileEntry, MANIFEST_BYTES, MANIFEST_FILE, type Manifest } from "./manifest.ts";
import type { PackageSource } from "./source.ts";
import { readLimited, readWhole, Staging } from "./stream.ts";

/** Takes tensors' encoded bytes: an Executable of kernels/backend.ts. */
export interface TensorSink {
  /** Copies a piece. Pieces of a tensor come in order; `bytes` is reused afterwards. */
  load(tensor: string, offset: number, bytes: Uint8Array): void;
}

/** A shard that was verified and given to the sink. */
export interface ShardLoaded {
  /** 0, 1, 2 … */
  readonly shard: number;
  readonly file: string;
  readonly bytes: number;
}

/** Shards that are read and hashed at a time. */
const ON_THEIR_WAY = 2;

/** Bytes that a load takes besides the sink's. */
export function stagingBytes({ shards }: { readonly shards: readonly { readonly bytes: number }[] }): number {
  const sizes = shards.map(({ bytes }) => bytes);
  return Math.min(ON_THEIR_WAY, sizes.length) * Math.max(0, ...sizes);
}

/** Reads and checks manifest.msgpack. @throws PackageError */
export async function readManifest(source: PackageSource, signal?: AbortSignal): Promise<Manifest> {
  const what = `${source.description}: ${MANIFEST_FILE}`;
  const stream = await openStream(source, MANIFEST_FILE, signal);
  return await decodeManifest(await readLimited(stream, MANIFEST_BYTES, what, signal), what);
}

/** The bytes of one listed file, size and hash checked. @throws PackageError */
export async function readVerified(source: PackageSource, entry: FileEntry, signal?: AbortSignal): Promise<Uint8Array> {
  const what = `${source.description}: ${entry.file}`;
  const stream = await openStream(source, entry.file, signal);
  const bytes = await readWhole(stream, entry.bytes, new Staging(1 + entry.bytes), what, { signal });
  checkHash(await sha256(bytes), entry, what);
  return bytes;
}

/**
 * The progress of one package into one sink. A shard is read whole, hashed whole, and only then given to the sink, all at once:
 * whoever leads, and however often that changes, the sink sees every byte of a tensor once, in order.
 *
 * It holds no stream or promise between calls, so that in workerd, where those belong to one request, another request can go on
 * after the leader's is gone.
 */
export class PackageLoad {
  readonly manifest: Manifest;
  readonly bytesTotal: number;
  readonly #sink: TensorSink;
  #shardsDone = 0;
  #bytesDone = 0;
  #beats = 0;
  /** the current leader: each has an object of its own. */
  #leader: object | undefined;
  /** those that no shard on its way uses: there are two in all. */
  readonly #stagings: Staging[] = [];
  #failure: PackageError | undefined;

  constructor(manifest: Manifest, sink: TensorSink) {
    this.manifest = manifest;
    this.#sink = sink;
    this.bytesTotal = manifest.shards.reduce((sum, shard) => sum + shard.bytes, 0);
  }

  get shardsDone(): number {
    return this.#shardsDone;
  }

  /** of the shards that are done. */
  get bytesDone(): number {
    return this.#bytesDone;
  }

  get done(): boolean {
    return this.#shardsDone === this.manifest.shards.length;
  }

  /** Set once the sink has thrown: no leader can go on, the load and its sink must be dropped. */
  get failure(): PackageError | undefined {
    return this.#failure;
  }

  /** Whether somebody leads, as far as is known: a leader whose request died is not noticed. */
  get led(): boolean {
    return this.#leader !== undefined;
  }

  /** Advances with every chunk read and every `beat`: a follower that sees it stand still for long may `abandon` the leader. */
  get beats(): number {
    return this.#beats;
  }

  /** Says that the leader lives while it computes between shards. */
  beat(): void {
    this.#beats++;
  }

  /**
   * Ends the leadership of whoever has it, for a follower that takes over. The old generator, should it wake, throws LeadershipLost
   * and applies nothing; its streams are its own to cancel, because workerd lets no other request touch them.
   */
  abandon(): void {
    this.#leader = undefined;
  }

  /**
   * Loads from the first shard that is not done yet, yielding after each. While the caller computes with one, the next two are read, one
   * after the other, and hashed: the platforms do both on other threads.
   * Ended by return(), the signal or an error it leaves a load that the next leader goes on with; only a sink that throws ends the
   * load for good, because a shard is then half applied.
   * @throws PackageError when somebody leads already, or a shard is missing, of another size or not what the manifest's hash says;
   *   LeadershipLost after `abandon`; the signal's reason
   */
  async *lead(
    source: PackageSource,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<ShardLoaded, void, undefined> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.done) return;
    if (this.#leader !== undefined) {
      throw new PackageError(
        `${this.manifest.id}: already being loaded; follow that load, or abandon() its leader first`,
      );
    }
    const leader = {};
    this.#leader = leader;
    const check = (): void => {
      signal?.throwIfAborted();
      if (this.#leader !== leader) {
        throw new LeadershipLost(`${this.manifest.id}: another leader took over; follow that load`);
      }
    };
    const onChunk = (): void => {
      check();
      this.#beats++;
    };
    // Ends what is on its way when this leader is done, whatever ends it; the signal's reason goes first.
    const over = new AbortController();
    const stop = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]);
    const resign = (): void => {
      over.abort();
      if (this.#leader === leader) this.#leader = undefined;
    };
    // At once, not when the generator is next resumed: its consumer may be gone.
    signal?.addEventListener("abort", resign);
    try {
      check();
      const arrivals: Arrival[] = [];
      let last: Promise<unknown> = Promise.resolve();
      const fetchNext = (): void => {
        const entry = this.manifest.shards[this.#shardsDone + arrivals.length];
        if (entry === undefined) return;
        const arrival = fetchFile(source, entry, last, this.#staging(), { signal: stop, onChunk });
        arrivals.push(arrival);
        last = arrival.read;
      };
      for (let i = 0; i < ON_THEIR_WAY; i++) fetchNext();
      for (let current = arrivals[0]; current !== undefined; current = arrivals[0]) {
        const shard = this.#shardsDone;
        const { file, bytes } = this.manifest.shards[shard] as FileEntry;
        const verified = await current.verified;
        // From here to the yield nothing else can run: a leader that was abandoned meanwhile applies nothing.
        check();
        this.#apply(shard, verified);
        arrivals.shift();
        if (!this.done) this.#stagings.push(current.staging);
        else this.#stagings.length = 0;
        // Not when the caller comes back: it computes, and the more is on its way meanwhile the better.
        fetchNext();
        yield { shard, file, bytes };
        if (arrivals.length > 0) check();
      }
    } finally {
      signal?.removeEventListener("abort", resign);
      resign();
    }
  }

  /** On its way a buffer is one leader's alone: when that is abandoned it may still be reading into it. */
  #staging(): Staging {
    return this.#stagings.pop() ?? new Staging(1 + Math.max(...this.manifest.shards.map(({ bytes }) => bytes)));
  }

  /** Gives the sink the pieces of tensors that lie in a shard; padding between tensors is left out. */
  #apply(shard: number, bytes: Uint8Array): void {
    const start = this.#bytesDone;
    const end = start + bytes.byteLength;
    for (const tensor of this.manifest.tensors) {
      const from = Math.max(tensor.offset, start);
      const to = Math.min(tensor.offset + tensor.bytes, end);
      if (from >= to) continue;
      try {
        this.#sink.load(tensor.name, from - tensor.offset, bytes.subarray(from - start, to - start));
      } catch (cause) {
        this.#failure = new PackageError(
          `${this.manifest.id}: tensor ${tensor.name} could not be loaded (${(cause as Error).message}); drop this load and begin another`,
          { cause },
        );
        throw this.#failure;
      }
    }
    this.#shardsDone = shard + 1;
    this.#bytesDone = end;
  }
}
