import type { GpuModel } from "./model.ts";
import { f32Word } from "./params.ts";
import type { Slice } from "./pipelines.ts";
import { decodeParts, enterGroups } from "./plan.ts";
import type { Recorder } from "./recorder.ts";
import type { WebGpuState } from "./states.ts";
import { ENTER_GROUP } from "./wgsl/enter.ts";
import { LEAVE_GROUP } from "./wgsl/leave.ts";

/** Bind groups of a sequence: by part of the embedding, by Mamba block. */
interface Own {
  readonly embed: readonly GPUBindGroup[];
  readonly enter: readonly GPUBindGroup[];
  readonly leave: readonly GPUBindGroup[];
}

/**
 * One token of one sequence, two dispatches a Mamba block. What the host pays for is calls, so a dispatch has one bind group, made with a
 * sequence's first token.
 */
export class Decode {
  readonly #model: GpuModel;
  readonly #records: readonly Slice[];
  readonly #own = new WeakMap<WebGpuState, Own>();
  readonly #norm: GPUBindGroup;

  constructor(model: GpuModel) {
    this.#model = model;
    const { plan, activations: a, weights, pipelines, params } = model;
    const { mambas, dimQuads, norm } = plan;
    this.#records = mambas.map((_, i) => params.record(i % 2, i === 0 ? 0 : decodeParts(plan, mambas[i - 1]!), 0, 0));
    const source = (mambas.length % 2) * dimQuads;
    const parts = decodeParts(plan, mambas.at(-1)!);
    const record = params.record(source, dimQuads, parts, dimQuads, 0, f32Word(norm.dim), f32Word(norm.norm.eps));
    this.#norm = pipelines.bind("wrrwru", [a.u, a.partial, weights.norm, a.xn, a.counting, record]);
  }

  /** Of the token in the state's control record. */
  embed(recorder: Recorder, state: WebGpuState): void {
    for (const group of this.#ownOf(state).embed) recorder.dispatch(this.#model.kernels.embed, [group], 1);
  }

  /** @param index of the Mamba block among its like */
  mamba(recorder: Recorder, index: number, state: WebGpuState): void {
    const { kernels, plan } = this.#model;
    const m = plan.mambas[index]!;
    const own = this.#ownOf(state);
    recorder.dispatch(kernels.enter[index]!, [own.enter[index]!], enterGroups(plan, m));
    recorder.dispatch(kernels.leave[index]!, [own.leave[index]!], decodeParts(plan, m));
  }

  /** norm(u) of the token into the first row of xn. */
  norm(recorder: Recorder): void {
    recorder.dispatch(this.#model.kernels.fold, [this.#norm], 1);
  }

  #ownOf(state: WebGpuState): Own {
    let own = this.#own.get(state);
    if (own === undefined) {
      own = this.#bind(state);
      this.#own.set(state, own);
    }
    return own;
  }

  #bind(state: WebGpuState): Own {
    const { plan, activations: a, weights, pipelines, params } = this.#model;
    const { dimQuads } = plan;
    const table = plan.matrices.get(plan.embedding.weight)!;
    const matrix = (name: string): GPUBuffer => weights.matrix(name)[0]!;
    const vectors = weights.vectors;
    return {
      embed: table.parts.map(({ firstRow, tileRows }, i) => {
        const record = params.record(firstRow, 8 * tileRows, table.tileCols, dimQuads);
        return pipelines.bind("rrwu", [state.controlRecord, weights.matrix(table.name)[i]!, a.u, record]);
      }),
      enter: plan.mambas.map(({ block }, i) => {
        const [inProj, xProj] = [matrix(block.inProj.weight), matrix(block.xProj)];
        return pipelines.bind(ENTER_GROUP, [
          ...[a.u, a.partial, inProj, vectors[i]!, a.xz, xProj, a.bc, state.block(i), this.#records[i]!],
        ]);
      }),
      leave: plan.mambas.map(({ block }, i) => {
        const [dtProj, outProj] = [matrix(block.dtProj.weight), matrix(block.outProj.weight)];
        return pipelines.bind(LEAVE_GROUP, [a.xz, a.bc, dtProj, vectors[i]!, outProj, a.partial, state.block(i)]);
      }),
    };
  }
}
