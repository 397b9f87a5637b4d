import { type Executable, KernelError, type MemoryPlan, type Pass, type Span } from "../backend.ts";
import type { Block } from "../blocks.ts";
import { checkSpans } from "../check.ts";
import type { StatePart } from "../state.ts";
import { Heap } from "./heap.ts";
import type { Kernels } from "./kernels.ts";
import type { Layout } from "./layout.ts";
import { Loaders } from "./loader.ts";
import { type PassHost, WasmPass } from "./pass.ts";
import { Slots, WasmState } from "./states.ts";

/** A block list in a WebAssembly.Memory of its own. */
export class WasmExecutable implements Executable, PassHost {
  readonly layout: Layout;
  readonly #loaders: Loaders;
  readonly #slots: Slots;
  #live: { readonly kernels: Kernels; readonly heap: Heap } | undefined;
  #pass: Pass | undefined;

  constructor(layout: Layout, kernels: Kernels, memory: WebAssembly.Memory) {
    this.layout = layout;
    const heap = new Heap(memory);
    this.#live = { kernels, heap };
    this.#slots = new Slots(heap, layout);
    this.#loaders = new Loaders(layout.blocks, layout.places.values());
  }

  get blocks(): readonly Block[] {
    return this.layout.blocks;
  }

  get stateLayout(): readonly StatePart[] {
    return this.layout.stateParts;
  }

  get memory(): MemoryPlan {
    return this.layout.memory;
  }

  get maxTokens(): number {
    return this.layout.maxTokens;
  }

  get maxSequences(): number {
    return this.layout.maxSequences;
  }

  get blocksLoaded(): number {
    return this.#loaders.blocksLoaded;
  }

  get kernels(): Kernels {
    return this.#alive().kernels;
  }

  get heap(): Heap {
    return this.#alive().heap;
  }

  load(tensor: string, offset: number, bytes: Uint8Array): void {
    this.#loaders.load(this.#alive().heap, tensor, offset, bytes);
  }

  createState(): WasmState {
    this.#alive();
    return new WasmState(this.#slots);
  }

  begin(spans: readonly Span[]): Pass {
    const { heap } = this.#alive();
    checkSpans(this, spans);
    this.#checkStates(spans);
    const pass = new WasmPass(this, spans);
    let at = this.layout.buffers.tokens / 4;
    let vectorsAt = this.layout.buffers.vectors / 4;
    for (const { tokens, vectors } of spans) {
      for (let t = 0; t < tokens.length; t++) heap.i32[at++] = tokens[t]!;
      if (vectors === undefined) continue;
      heap.f32.set(vectors, vectorsAt);
      vectorsAt += vectors.length;
    }
    this.#pass = pass;
    return pass;
  }

  run(spans: readonly Span[]): Pass {
    const pass = this.begin(spans);
    pass.advance();
    return pass;
  }

  isOpen(pass: Pass): boolean {
    return this.#pass === pass;
  }

  dispose(): void {
    this.#live = undefined;
    this.#pass = undefined;
    this.#slots.close();
  }

  #alive(): { readonly kernels: Kernels; readonly heap: Heap } {
    if (this.#live === undefined) throw new KernelError("this executable was disposed: compile the model again");
    return this.#live;
  }

  #checkStates(spans: readonly Span[]): void {
    const hasHead = this.blocks.at(-1)?.kind === "head";
    spans.forEach(({ state, logits = "none", targets }, i) => {
      if (!(state instanceof WasmState) || state.slots !== this.#slots) {
        throw new KernelError(`the state of span ${i} belongs to another executable: use read and write to move it`);
      }
      if (!hasHead && (logits !== "none" || targets !== undefined)) {
        throw new KernelError(`span ${i} asks for logits or targets, but the model has no head`);
      }
    });
  }
}
