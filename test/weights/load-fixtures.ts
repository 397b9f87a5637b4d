import { PackageLoad, readManifest, type ShardLoaded } from "../../weights/loader.ts";
import type { Manifest } from "../../weights/manifest.ts";
import type { MemoryPackage } from "../../weights/memory.ts";
import type { PackageSource } from "../../weights/source.ts";
import { Collector, smallPackage } from "./fixtures.ts";

/** The shards of the small package, in order. */
export const SHARDS = ["shard-000.bin", "shard-001.bin", "shard-002.bin", "shard-003.bin", "shard-004.bin"];

export interface SmallLoad {
  readonly memory: MemoryPackage;
  readonly manifest: Manifest;
  /** what a load delivers that nothing disturbs. */
  readonly whole: Collector;
  /** what `load` has delivered. */
  readonly collector: Collector;
  /** not yet led. */
  readonly load: PackageLoad;
}

/** A load of the small package that has not begun. */
export async function smallLoad(): Promise<SmallLoad> {
  const memory = await smallPackage();
  const manifest = await readManifest(memory);
  const whole = new Collector();
  await drain(new PackageLoad(manifest, whole).lead(memory));
  const collector = new Collector();
  return { memory, manifest, whole, collector, load: new PackageLoad(manifest, collector) };
}

/** The numbers of the shards that a leader gives, to its end. */
export async function drain(shards: AsyncGenerator<ShardLoaded>): Promise<number[]> {
  const seen: number[] = [];
  for await (const { shard } of shards) seen.push(shard);
  return seen;
}

/** A source that records what is opened. */
export class RecordingSource implements PackageSource {
  readonly description = "recording";
  readonly opened: string[] = [];
  readonly #source: PackageSource;

  constructor(source: PackageSource) {
    this.#source = source;
  }

  open(file: string): ReturnType<PackageSource["open"]> {
    this.opened.push(file);
    return this.#source.open(file);
  }
}
