import type { GpuModel } from "./model.ts";
import { f32Word } from "./params.ts";
import type { Slice } from "./pipelines.ts";
import { decodeParts, enterGroups } from "./plan.ts";
import type { Recorder } from "./recorder.ts";
import type { WebGpuState } from "./states.ts";
import { HALVES_GROUPS } from "./wgsl/halves.ts";

/** Bind groups of a sequence: by part of the embedding, by Mamba block. */
interface Own {
  readonly embed: readonly GPUBindGroup[];
  readonly halves: readonly GPUBindGroup[];
}

/**
 * One token of one sequence, two dispatches a Mamba block. The host pays for calls: three a block, one that binds what the block has of
 * its own and two dispatches.
 */
export class Decode {
  readonly #model: GpuModel;
  readonly #records: readonly Slice[];
  readonly #own = new WeakMap<WebGpuState, Own>();
  readonly #shared: GPUBindGroup;
  readonly #norm: GPUBindGroup;

  constructor(model: GpuModel) {
    this.#model = model;
    const { plan, activations: a, weights, pipelines, params } = model;
    const { mambas, dimQuads, norm } = plan;
    this.#records = mambas.map((_, i) => params.record(i % 2, i === 0 ? 0 : decodeParts(plan, mambas[i - 1]!), 0, 0));
    const source = (mambas.length % 2) * dimQuads;
    const parts = decodeParts(plan, mambas.at(-1)!);
    const record = params.record(
      ...[source, dimQuads, parts, dimQuads, 0, f32Word(norm.dim), f32Word(norm.norm.eps), plan.places.partial],
    );
    this.#shared = pipelines.bind(HALVES_GROUPS[0], [a.stream, a.xz]);
    this.#norm = pipelines.bind("wrwru", [a.stream, weights.norm, a.xn, a.counting, record]);
  }

  /** Of the token in the state's control record. */
  embed(recorder: Recorder, state: WebGpuState): void {
    for (const group of this.#ownOf(state).embed) recorder.dispatch(this.#model.kernels.embed, [group], 1);
  }

  /** @param index of the Mamba block among its like */
  mamba(recorder: Recorder, index: number, state: WebGpuState): void {
    const { kernels, plan } = this.#model;
    const m = plan.mambas[index]!;
    const groups = [this.#shared, this.#ownOf(state).halves[index]!];
    recorder.dispatch(kernels.halves[index]!, groups, enterGroups(plan, m));
    recorder.dispatch(kernels.halves[index]!, groups, 1, decodeParts(plan, m));
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
    return {
      embed: table.parts.map(({ firstRow, tileRows }, i) => {
        const record = params.record(firstRow, 8 * tileRows, table.tileCols, dimQuads);
        return pipelines.bind("rrwu", [state.controlRecord, weights.matrix(table.name)[i]!, a.u, record]);
      }),
      halves: plan.mambas.map((_, i) => {
        return pipelines.bind(HALVES_GROUPS[1], [weights.blocks[i]!, state.block(i), this.#records[i]!]);
      }),
    };
  }
}
