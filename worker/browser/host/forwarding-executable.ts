import type { Executable } from "../../../kernels/backend.ts";

/** What an executable says that computes on another one, which may be exchanged: all that is of the one at work now. */
export abstract class ForwardingExecutable {
  /** what computes now. */
  protected active: Executable;

  constructor(first: Executable) {
    this.active = first;
  }

  get blocks(): Executable["blocks"] {
    return this.active.blocks;
  }

  get stateLayout(): Executable["stateLayout"] {
    return this.active.stateLayout;
  }

  get memory(): Executable["memory"] {
    return this.active.memory;
  }

  get maxTokens(): number {
    return this.active.maxTokens;
  }

  get maxSequences(): number {
    return this.active.maxSequences;
  }

  get samples(): boolean {
    return this.active.samples === true;
  }

  get blocksLoaded(): number {
    return this.active.blocksLoaded;
  }

  load(tensor: string, offset: number, bytes: Uint8Array): void {
    this.active.load(tensor, offset, bytes);
  }
}
