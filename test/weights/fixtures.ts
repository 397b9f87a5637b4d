import type { Encoding } from "../../weights/layout.ts";
import { MemoryPackage } from "../../weights/memory.ts";
import type { PackageSource } from "../../weights/source.ts";
import { buildPackage, type PackageInput, type TensorInput } from "../../weights/writer.ts";

/** Values in −1..1 that are the same on every run (a linear congruential generator). */
export function values(count: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

export function tensor(name: string, shape: number[], encoding: Encoding = "f32", seed = 1): TensorInput {
  const count = shape.reduce((product, n) => product * n, 1);
  return { name, shape, encoding, data: values(count, seed) };
}

/** Three tensors over five shards of 1,024 bytes: embed crosses four of them, and the padding after scale lies inside one. */
export function smallInput(changes: Partial<PackageInput> = {}): PackageInput {
  return {
    name: "small",
    architecture: "mamba",
    hyperparameters: { dim: 33, eps: 1e-5, tied: true, limit: Number.POSITIVE_INFINITY },
    quantization: "q8",
    tensors: [tensor("scale", [33]), tensor("embed", [41, 33], "q8", 2), tensor("out", [7, 33], "f32", 3)],
    tokenizer: new TextEncoder().encode('{"model":{}}'),
    shardBytes: 1024,
    ...changes,
  };
}

export async function smallPackage(changes: Partial<PackageInput> = {}): Promise<MemoryPackage> {
  const memory = new MemoryPackage();
  await buildPackage(smallInput(changes), memory);
  return memory;
}

/** Collects what a load delivers, and insists that every piece is the next one of its tensor. */
export class Collector {
  readonly tensors = new Map<string, number[]>();
  readonly pieces: string[] = [];

  load(name: string, offset: number, bytes: Uint8Array): void {
    const before = this.tensors.get(name) ?? [];
    if (bytes.length === 0) throw new Error(`${name}: empty piece`);
    if (offset !== before.length) throw new Error(`${name}: piece at ${offset}, expected ${before.length}`);
    this.tensors.set(name, [...before, ...bytes]);
    this.pieces.push(`${name}+${offset}`);
  }

  bytes(name: string): Uint8Array {
    return Uint8Array.from(this.tensors.get(name) ?? []);
  }
}

/** Pieces of the given sizes in turn, or all at once. */
export function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? bytes.length;
    yield bytes.slice(at, at + size);
    at += size;
  }
}

/** A stream that hands out the pieces one a pull, as a byte stream or as a plain one. */
export function pieces(bytes: Uint8Array, sizes: readonly number[], type?: "bytes"): ReadableStream<Uint8Array> {
  const parts = cut(bytes, sizes);
  return makeStream(type, {
    pull(controller) {
      const { value, done } = parts.next();
      if (!done) {
        controller.enqueue(value);
        return;
      }
      controller.close();
      controller.byobRequest?.respond(0); // a read that waits for bytes ends only with this
    },
  });
}

/** What both kinds of controller have. */
interface Controller {
  enqueue(chunk: Uint8Array): void;
  close(): void;
  error(reason: unknown): void;
  readonly byobRequest?: { respond(bytes: number): void } | null;
}

export function makeStream(
  type: "bytes" | undefined,
  source: { pull(controller: Controller): void | Promise<void>; cancel?(reason: unknown): void },
): ReadableStream<Uint8Array> {
  const underlying = (type === undefined ? source : { type, ...source }) as UnderlyingDefaultSource<Uint8Array>;
  return new ReadableStream(underlying);
}

/** A source that gives each file's first `bytes` bytes and then nothing more until `release` is called. */
export class StallingSource implements PackageSource {
  readonly description = "stalling";
  readonly opened: string[] = [];
  readonly cancelled: string[] = [];
  readonly #files: ReadonlyMap<string, Uint8Array>;
  readonly #stalls: ReadonlyMap<string, number>;
  readonly #waiting: (() => void)[] = [];

  constructor(files: ReadonlyMap<string, Uint8Array>, stalls: Readonly<Record<string, number>>) {
    this.#files = files;
    this.#stalls = new Map(Object.entries(stalls));
  }

  async open(file: string): Promise<ReadableStream<Uint8Array>> {
    this.opened.push(file);
    const bytes = this.#files.get(file) as Uint8Array;
    const stall = this.#stalls.get(file) ?? bytes.length;
    let given = 0;
    return new ReadableStream({
      pull: async (controller) => {
        if (given === 0 && stall > 0) {
          given = stall;
          return controller.enqueue(bytes.slice(0, stall));
        }
        if (given < bytes.length) {
          await new Promise<void>((resolve) => this.#waiting.push(resolve));
          controller.enqueue(bytes.slice(given));
          given = bytes.length;
        }
        controller.close();
      },
      cancel: () => void this.cancelled.push(file),
    });
  }

  release(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 2));
}
