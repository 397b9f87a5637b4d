import { KernelError, type Pass, type Span, type SpanOutput } from "../backend.ts";
import { inputWidth } from "../blocks.ts";
import { spanLength } from "../check.ts";
import { runHead, type Wanted, wantedPositions } from "./head.ts";
import type { Heap } from "./heap.ts";
import type { Kernels } from "./kernels.ts";
import type { Layout } from "./layout.ts";
import type { WasmState } from "./states.ts";
import { type Flight, runBlock } from "./steps.ts";

/** What a pass needs of its executable. */
export interface PassHost {
  readonly layout: Layout;
  readonly kernels: Kernels;
  readonly heap: Heap;
  readonly blocksLoaded: number;
  isOpen(pass: Pass): boolean;
}

/** A batch of spans on its way through the blocks. Kernels run as it advances; nothing is left for `read` to wait for. */
export class WasmPass implements Pass {
  block = 0;
  readonly #host: PassHost;
  readonly #spans: readonly Span[];
  readonly #flights: readonly Flight[];
  readonly #tokens: number;
  readonly #wanted: Wanted;
  #logits = new Float32Array(0);
  #logProbs = new Float32Array(0);

  /** The spans are checked and their tokens already lie in memory. */
  constructor(host: PassHost, spans: readonly Span[]) {
    this.#host = host;
    this.#spans = spans;
    let first = 0;
    const width = inputWidth(host.layout.blocks);
    this.#flights = spans.map((span) => {
      const { slot, positions } = span.state as WasmState;
      const flight = { first, count: spanLength(span, width), slot, position: positions };
      first += flight.count;
      return flight;
    });
    this.#tokens = first;
    this.#wanted = wantedPositions(spans, this.#flights);
  }

  advance(end = this.#host.layout.placed.length): void {
    const { layout, kernels, blocksLoaded } = this.#host;
    this.#checkOpen();
    for (const { state } of this.#spans) (state as WasmState).slot; // throws when it was disposed meanwhile
    for (; this.block < end; this.block++) {
      if (this.block >= blocksLoaded)
        throw new KernelError(`block ${this.block} is not loaded yet: load its tensors first`);
      const placed = layout.placed[this.block]!;
      if (placed.kind !== "head") {
        runBlock(kernels, layout.buffers, placed, this.#flights, this.#tokens, layout.dim);
      } else {
        this.#logits = new Float32Array(this.#wanted.logitCount * placed.proj.matrix.rows);
        this.#logProbs = new Float32Array(this.#wanted.positions.length);
        runHead(kernels, this.#host.heap, layout.buffers, placed.proj, this.#wanted, this.#logits, this.#logProbs);
      }
      if (this.block < layout.placed.length - 1) continue;
      this.#spans.forEach(({ state }, i) => {
        (state as WasmState).advance(this.#flights[i]!.count);
      });
    }
  }

  async read(): Promise<readonly SpanOutput[]> {
    const total = this.#host.layout.placed.length;
    if (this.block < total) {
      throw new KernelError(`only ${this.block} of ${total} blocks are done: advance the pass to the end first`);
    }
    const { logitCount } = this.#wanted;
    const vocab = logitCount === 0 ? 0 : this.#logits.length / logitCount;
    let logitRow = 0;
    let position = 0;
    return this.#spans.map(({ logits = "none", targets, tokens }, i) => {
      const rows = logits === "all" ? this.#flights[i]!.count : logits === "last" ? 1 : 0;
      const output = {
        logits: this.#logits.subarray(logitRow * vocab, (logitRow + rows) * vocab),
        logProbs: this.#logProbs.subarray(position, position + (targets === undefined ? 0 : tokens.length)),
      };
      logitRow += rows;
      position += targets === undefined ? rows : tokens.length;
      return output;
    });
  }

  #checkOpen(): void {
    if (!this.#host.isOpen(this)) throw new KernelError("another pass was opened since, or the executable disposed");
  }
}
