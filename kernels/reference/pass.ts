import { KernelError, type Pass, type Span, type SpanOutput } from "../backend.ts";
import { type Block, inputWidth } from "../blocks.ts";
import { spanLength } from "../check.ts";
import { grows } from "../state.ts";
import { attentionStep, mlpStep } from "./attention.ts";
import { s4dStep, s4MambaStep } from "./s4d.ts";
import { ReferenceState } from "./state.ts";
import { linear, logProbability, mambaStep, normalize, type Observer, type Weights } from "./steps.ts";

/** What a pass needs of its executable. */
export interface PassHost {
  readonly blocks: readonly Block[];
  readonly blocksLoaded: number;
  readonly weights: Weights;
  readonly observe: Observer | undefined;
}

/** What a span becomes on its way through the blocks. */
interface Row {
  readonly span: Span;
  readonly state: ReferenceState;
  /** residual stream, a vector a token. */
  u: Float64Array[];
  logits: Float32Array[];
  logProbs: number[];
}

/** Spans on their way through the blocks, one token after another. */
export class ReferencePass implements Pass {
  block = 0;
  readonly #host: PassHost;
  readonly #isOpen: (pass: ReferencePass) => boolean;
  readonly #rows: Row[];

  constructor(host: PassHost, spans: readonly Span[], isOpen: (pass: ReferencePass) => boolean) {
    this.#host = host;
    this.#isOpen = isOpen;
    this.#rows = spans.map((span) => {
      if (!(span.state instanceof ReferenceState)) throw new KernelError("the span's state belongs to another backend");
      return { span, state: span.state, u: [], logits: [], logProbs: [] };
    });
  }

  advance(end = this.#host.blocks.length): void {
    const { blocks } = this.#host;
    if (!this.#isOpen(this)) throw new KernelError("another pass was opened since: this one can no longer advance");
    const loaded = this.#host.blocksLoaded;
    for (; this.block < end; this.block++) {
      if (this.block >= loaded) throw new KernelError(`block ${this.block} is not loaded yet`);
      for (const row of this.#rows) this.#apply(blocks[this.block]!, row);
      if (this.block < blocks.length - 1 || !grows(blocks)) continue;
      for (const { span, state } of this.#rows) state.advance(spanLength(span, inputWidth(blocks)));
    }
  }

  #apply(block: Block, row: Row): void {
    const { weights, observe } = this.#host;
    switch (block.kind) {
      case "embedding": {
        const table = weights(block.weight);
        row.u = Array.from(row.span.tokens, (t) =>
          Float64Array.from(table.subarray(t * block.dim, (t + 1) * block.dim)),
        );
        break;
      }
      case "read-in": {
        const { vectors = new Float32Array(0) } = row.span;
        const count = vectors.length / block.inputs;
        const vector = (t: number): Float64Array =>
          Float64Array.from(vectors.subarray(t * block.inputs, (t + 1) * block.inputs));
        row.u = Array.from({ length: count }, (_, t) => linear(block.proj, weights, vector(t), observe));
        break;
      }
      case "positions": {
        const table = weights(block.weight);
        row.u.forEach((u, t) => {
          const first = (row.state.positions + t) * block.dim;
          for (let i = 0; i < block.dim; i++) u[i]! += table[first + i]!;
        });
        break;
      }
      case "mamba": {
        const state = row.state.recurrent(this.block);
        for (const u of row.u) mambaStep(block, weights, state, u, observe);
        break;
      }
      case "s4-mamba": {
        const state = row.state.recurrent(this.block);
        for (const u of row.u) s4MambaStep(block, weights, state, u, observe);
        break;
      }
      case "s4d": {
        const { ssm } = row.state.recurrent(this.block);
        for (const u of row.u) s4dStep(block, weights, ssm, u, observe);
        break;
      }
      case "attention":
        for (const u of row.u) attentionStep(block, weights, (kv) => row.state.grow(this.block, kv), u, observe);
        break;
      case "mlp":
        for (const u of row.u) mlpStep(block, weights, u, observe);
        break;
      case "norm":
        row.u = row.u.map((u) => normalize(block.norm, weights, u));
        break;
      case "head": {
        const { logits = "none", targets } = row.span;
        row.u.forEach((u, t) => {
          const wanted = logits === "all" || (logits === "last" && t === row.u.length - 1);
          if (!wanted && targets === undefined) return;
          const scores = linear(block.proj, weights, u, observe);
          if (wanted) row.logits.push(Float32Array.from(scores));
          if (targets !== undefined) row.logProbs.push(logProbability(scores, targets[t]!));
        });
        break;
      }
    }
  }

  async read(): Promise<readonly SpanOutput[]> {
    const total = this.#host.blocks.length;
    if (this.block < total)
      throw new KernelError(`only ${this.block} of ${total} blocks are done: advance the pass first`);
    return this.#rows.map((row) => {
      const vocab = row.logits[0]?.length ?? 0;
      const logits = new Float32Array(row.logits.length * vocab);
      row.logits.forEach((l, i) => {
        logits.set(l, i * vocab);
      });
      return { logits, logProbs: Float32Array.from(row.logProbs) };
    });
  }
}
