import type { GpuModel } from "./model.ts";
import { f32Word } from "./params.ts";
import { decodeParts, enterGroups } from "./plan.ts";
import type { Recorder } from "./recorder.ts";
import type { WebGpuState } from "./states.ts";

/** One token of one sequence, two dispatches a Mamba block. Every bind group exists beforehand; only the state's is the sequence's. */
export class Decode {
  readonly #model: GpuModel;
  readonly #embed: readonly GPUBindGroup[];
  readonly #enter: readonly GPUBindGroup[];
  readonly #leave: readonly GPUBindGroup[];
  readonly #norm: GPUBindGroup;

  constructor(model: GpuModel) {
    this.#model = model;
    const { plan, activations: a, weights, pipelines, params } = model;
    const { embedding, mambas, dimQuads, norm } = plan;
    const table = plan.matrices.get(embedding.weight)!;
    this.#embed = table.parts.map(({ firstRow, tileRows }, i) => {
      const record = params.record(firstRow, 8 * tileRows, table.tileCols, dimQuads);
      return pipelines.bind("rrwu", [a.tokens, weights.matrix(table.name)[i]!, a.u, record]);
    });
    this.#enter = mambas.map(({ block }, i) => {
      const [inProj, xProj] = [weights.matrix(block.inProj.weight)[0]!, weights.matrix(block.xProj)[0]!];
      const record = params.record(i % 2, i === 0 ? 0 : decodeParts(plan, mambas[i - 1]!), 0, 0);
      return pipelines.bind("wrrrwrwu", [a.u, a.partial, inProj, weights.vectors[i]!, a.xz, xProj, a.bc, record]);
    });
    this.#leave = mambas.map(({ block }, i) => {
      const [dtProj, outProj] = [weights.matrix(block.dtProj.weight)[0]!, weights.matrix(block.outProj.weight)[0]!];
      return pipelines.bind("rrrrrw", [a.xz, a.bc, dtProj, weights.vectors[i]!, outProj, a.partial]);
    });
    const source = (mambas.length % 2) * dimQuads;
    const parts = decodeParts(plan, mambas.at(-1)!);
    const record = params.record(source, dimQuads, parts, dimQuads, 0, f32Word(norm.dim), f32Word(norm.norm.eps));
    this.#norm = pipelines.bind("wrrwru", [a.u, a.partial, weights.norm, a.xn, a.counting, record]);
  }

  embed(recorder: Recorder): void {
    for (const group of this.#embed) recorder.dispatch(this.#model.kernels.embed, [group], 1);
  }

  /** @param index of the Mamba block among its like */
  mamba(recorder: Recorder, index: number, state: WebGpuState): void {
    const { kernels, plan } = this.#model;
    const m = plan.mambas[index]!;
    const own = state.groups[index]!;
    recorder.dispatch(kernels.enter[index]!, [this.#enter[index]!, own], enterGroups(plan, m));
    recorder.dispatch(kernels.leave[index]!, [this.#leave[index]!, own], decodeParts(plan, m));
  }

  /** norm(u) of the token into the first row of xn. */
  norm(recorder: Recorder): void {
    recorder.dispatch(this.#model.kernels.fold, [this.#norm], 1);
  }
}
