import type { GpuModel } from "./model.ts";
import { f32Word } from "./params.ts";
import type { Slice } from "./pipelines.ts";
import type { Recorder } from "./recorder.ts";
import { decodeParts, enterGroups } from "./shapes.ts";
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
  /** by the parts of u that are summed. */
  readonly #norms = new Map<number, GPUBindGroup>();

  constructor(model: GpuModel) {
    this.#model = model;
    const { plan, activations: a, pipelines, params } = model;
    this.#records = plan.mambas.map((_, i) => params.record(i % 2, Math.min(i, 1), 0, 0));
    this.#shared = pipelines.bind(HALVES_GROUPS[0], [a.stream, a.xz]);
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
    recorder.dispatch(kernels.halves[index]!, groups, enterGroups(kernels.shapes, m));
    recorder.dispatch(kernels.halves[index]!, groups, 1, decodeParts(kernels.shapes, m));
  }

  /** norm(u) of the token into the first row of xn. */
  norm(recorder: Recorder): void {
    const { kernels, plan } = this.#model;
    const parts = decodeParts(kernels.shapes, plan.mambas.at(-1)!);
    let group = this.#norms.get(parts);
    if (group === undefined) {
      group = this.#bindNorm(parts);
      this.#norms.set(parts, group);
    }
    recorder.dispatch(kernels.fold, [group], 1);
  }

  #bindNorm(parts: number): GPUBindGroup {
    const { plan, activations: a, weights, pipelines, params } = this.#model;
    const { mambas, dimQuads, norm, places } = plan;
    const source = (mambas.length % 2) * dimQuads;
    const eps = f32Word(norm.norm.eps);
    const sizes = [source, dimQuads, parts, dimQuads, 0, f32Word(norm.dim), eps, places.partial];
    return pipelines.bind("wrwru", [a.stream, weights.norm, a.xn, a.counting, params.record(...sizes)]);
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
