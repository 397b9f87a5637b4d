import type { Span, SpanOutput } from "../backend.ts";
import type { Flight } from "./batch.ts";
import type { GpuModel } from "./model.ts";
import { f32Word } from "./params.ts";
import { HEAD_BLOCK } from "./plan.ts";
import type { Recorder } from "./recorder.ts";
import { pad } from "./sizes.ts";
import type { WebGpuState } from "./states.ts";
import { GEMM_TILE } from "./wgsl/gemm.ts";
import { LOGIT_ROWS } from "./wgsl/logits.ts";
import { weightUnit } from "./wgsl/ranking.ts";

/** A token whose logits are computed, and where what is wanted of it comes back: bytes in the readback buffer, −1 when unwanted. */
interface Row {
  readonly span: number;
  readonly token: number;
  readonly target: number;
  logits: number;
  score: number;
  choice: number;
  readonly state: WebGpuState | undefined;
  /** its token is drawn, not the most probable one. */
  readonly draws: boolean;
}

/** What is wanted of the head in a pass, the rows whose token is chosen here first. */
export interface Wanted {
  readonly rows: readonly Row[];
  /** of them, first ones that choose a token. */
  readonly choices: number;
  /** of the readback buffer. */
  readonly bytes: number;
}

export function wantedRows(spans: readonly Span[], flights: readonly Flight[], vocab: number): Wanted {
  const choosing: Row[] = [];
  const others: Row[] = [];
  let bytes = 0;
  const place = (wanted: boolean, size: number): number => {
    if (!wanted) return -1;
    bytes += size;
    return bytes - size;
  };
  spans.forEach(({ logits = "none", targets, sample }, span) => {
    const { first, count, state } = flights[span]!;
    for (let t = logits === "all" || targets !== undefined ? 0 : count - 1; t < count; t++) {
      const last = t === count - 1;
      const keeps = logits === "all" || (logits === "last" && last);
      const chooses = last && sample !== undefined;
      if (!keeps && !chooses && targets === undefined) continue;
      const draws = chooses && sample.temperature > 0;
      const row = { span, token: first + t, target: targets?.[t] ?? 0, state, draws };
      if (chooses) choosing.push({ ...row, logits: -1, score: -1, choice: place(true, 4) });
      if (!keeps && targets === undefined) continue;
      const score = place(targets !== undefined, 4);
      others.push({ ...row, logits: place(keeps, 4 * vocab), score, choice: -1 });
    }
  });
  return { rows: [...choosing, ...others], choices: choosing.length, bytes };
}

/** Logits, what is read of them, and the tokens chosen from them. */
export class Head {
  readonly #model: GpuModel;
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #choices = new WeakMap<WebGpuState, GPUBindGroup>();

  constructor(model: GpuModel) {
    this.#model = model;
  }

  /** Tells the kernels which tokens are wanted. */
  place({ rows }: Wanted): void {
    const { gpu, activations } = this.#model;
    gpu.device.queue.writeBuffer(
      activations.rows,
      0,
      Uint32Array.from(rows, (r) => r.token),
    );
    if (rows.some((r) => r.score >= 0)) {
      gpu.device.queue.writeBuffer(
        activations.targets,
        0,
        Uint32Array.from(rows, (r) => r.target),
      );
    }
  }

  /** From norm(u) of the wanted tokens in the first rows of xn. */
  run(recorder: Recorder, wanted: Wanted, readback: GPUBuffer): void {
    const { rows, choices } = wanted;
    for (let i = 0; i < choices; i++) {
      this.#logits(recorder, i);
      this.#choose(recorder, rows[i]!, readback);
    }
    const alone = rows.length === choices + 1 && rows[choices]!.score < 0;
    for (let first = choices; first < rows.length; first += HEAD_BLOCK) {
      const count = Math.min(HEAD_BLOCK, rows.length - first);
      if (alone) this.#logits(recorder, first);
      else this.#block(recorder, first);
      this.#readBlock(recorder, rows.slice(first, first + count), first, readback);
    }
  }

  /** One row's logits into the first row of the logits. */
  #logits(recorder: Recorder, row: number): void {
    const { plan, kernels, activations: a, weights, pipelines, params } = this.#model;
    const matrix = plan.matrices.get(plan.head.proj.weight)!;
    matrix.parts.forEach(({ firstRow, tileRows }, i) => {
      const group = this.#group(`logits ${row} ${i}`, () =>
        pipelines.bind("rrrwwu", [
          ...[a.xn, weights.matrix(matrix.name)[i]!, weights.headBias, a.logits, a.bests],
          params.record(row, tileRows, firstRow, plan.head.vocab),
        ]),
      );
      recorder.dispatch(kernels.logits, [group], Math.ceil((8 * tileRows) / LOGIT_ROWS));
    });
  }

  /** The logits of as many rows as go in a block, from a row on. */
  #block(recorder: Recorder, first: number): void {
    const { plan, kernels, activations: a, weights, pipelines, params } = this.#model;
    const matrix = plan.matrices.get(plan.head.proj.weight)!;
    const stride = pad(plan.head.vocab, 8) / 4;
    matrix.parts.forEach(({ firstRow, tileRows }, i) => {
      const group = this.#group(`block ${first} ${i}`, () => {
        const { tileCols } = matrix;
        const record = params.record(
          ...[tileCols, tileCols, tileRows, plan.dimQuads, stride, 0, firstRow / 4, firstRow, first * plan.dimQuads],
        );
        return pipelines.bind("rrrwu", [a.xn, weights.matrix(matrix.name)[i]!, weights.headBias, a.logits, record]);
      });
      recorder.dispatch(kernels.gemm.get(matrix.spec.encoding)!, [group], Math.ceil((8 * tileRows) / GEMM_TILE));
    });
  }

  #readBlock(recorder: Recorder, rows: readonly Row[], first: number, readback: GPUBuffer): void {
    const { plan, kernels, activations: a, pipelines, params } = this.#model;
    const { vocab } = plan.head;
    const stride = pad(vocab, 8);
    if (rows.some((r) => r.score >= 0)) {
      const group = this.#group(`score ${first}`, () =>
        pipelines.bind("rrwu", [a.logits, a.targets, a.scores, params.record(vocab, stride, first, 0)]),
      );
      recorder.dispatch(kernels.score, [group], rows.length);
    }
    rows.forEach((row, i) => {
      if (row.logits >= 0) recorder.copy(a.logits, 4 * i * stride, readback, row.logits, 4 * vocab);
      if (row.score >= 0) recorder.copy(a.scores, 4 * (first + i), readback, row.score, 4);
    });
  }

  #choose(recorder: Recorder, row: Row, readback: GPUBuffer): void {
    const { plan, kernels, activations: a, pipelines, params } = this.#model;
    const state = row.state!;
    let group = this.#choices.get(state);
    if (group === undefined) {
      const record = params.record(plan.head.vocab, f32Word(weightUnit(plan.head.vocab)), 0, 0);
      group = pipelines.bind("rrwu", [a.logits, a.bests, state.controlRecord, record]);
      this.#choices.set(state, group);
    }
    recorder.dispatch(row.draws ? kernels.draw : kernels.choose, [group], 1);
    recorder.copy(state.buffer, state.control, readback, row.choice, 4);
  }

  #group(key: string, make: () => GPUBindGroup): GPUBindGroup {
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = make();
      this.#groups.set(key, group);
    }
    return group;
  }
}

/** What came back, by span. `token` is as the kernel left it. */
export function readOutputs(wanted: Wanted, spans: readonly Span[], bytes: ArrayBuffer, vocab: number): SpanOutput[] {
  return spans.map((span, s) => {
    const rows = wanted.rows.filter((r) => r.span === s);
    const kept = rows.filter((r) => r.logits >= 0);
    const scored = rows.filter((r) => r.score >= 0);
    const chosen = rows.find((r) => r.choice >= 0);
    const logits = new Float32Array(kept.length * vocab);
    kept.forEach((r, i) => {
      logits.set(new Float32Array(bytes, r.logits, vocab), i * vocab);
    });
    const logProbs = Float32Array.from(scored, (r) => new Float32Array(bytes, r.score, 1)[0]!);
    if (span.sample === undefined || chosen === undefined) return { logits, logProbs };
    return { logits, logProbs, token: new Uint32Array(bytes, chosen.choice, 1)[0]! };
  });
}
