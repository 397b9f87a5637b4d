import type { Encoding } from "../backend.ts";
import type { GpuModel } from "./model.ts";
import { f32Word } from "./params.ts";
import type { Slice } from "./pipelines.ts";
import { outSlices, xSlices } from "./plan.ts";
import type { Recorder } from "./recorder.ts";
import type { WebGpuState } from "./states.ts";
import { GEMM_TILE } from "./wgsl/gemm.ts";
import { SCAN_CHANNELS } from "./wgsl/scan.ts";

/** A span on its way through the blocks. */
export interface Flight {
  readonly state: WebGpuState;
  /** its first token in the pass. */
  readonly first: number;
  readonly count: number;
}

/** A product of many tokens with a matrix. */
interface Product {
  readonly encoding: Encoding;
  readonly group: GPUBindGroup;
  readonly tileRows: number;
  readonly slices: number;
}

interface BlockGroups {
  readonly fold: GPUBindGroup;
  readonly inProj: Product;
  readonly conv: GPUBindGroup;
  readonly xProj: Product;
  readonly gather: GPUBindGroup;
  readonly dtProj: Product;
  readonly scan: GPUBindGroup;
  readonly outProj: Product;
}

/** Many tokens: projections run over those of all spans together, convolution and scan a span. */
export class Batch {
  readonly #model: GpuModel;
  readonly #embed: readonly GPUBindGroup[];
  readonly #blocks: readonly BlockGroups[];
  readonly #norm: GPUBindGroup;
  readonly #spans: readonly { readonly record: Slice; readonly group: GPUBindGroup }[];

  constructor(model: GpuModel) {
    this.#model = model;
    const { plan, activations: a, weights, pipelines, params } = model;
    const { embedding, mambas, dimQuads, norm, tokenRows } = plan;
    const table = plan.matrices.get(embedding.weight)!;
    const stride = tokenRows * dimQuads;
    this.#embed = table.parts.map(({ firstRow, tileRows }, i) => {
      const record = params.record(firstRow, 8 * tileRows, table.tileCols, dimQuads);
      return pipelines.bind("rrwu", [a.tokens, weights.matrix(table.name)[i]!, a.u, record]);
    });
    this.#blocks = mambas.map((_, i) => this.#bindBlock(i));
    const parts = outSlices(mambas.at(-1)!, tokenRows);
    const sizes = [0, dimQuads, parts, stride, 0, f32Word(norm.dim), f32Word(norm.norm.eps), plan.places.partial];
    this.#norm = pipelines.bind("wrwru", [a.stream, weights.norm, a.xn, a.rows, params.record(...sizes)]);
    this.#spans = Array.from({ length: plan.maxSequences }, () => {
      const record = params.fresh();
      return { record, group: pipelines.bind("u", [{ ...record, size: 16 }]) };
    });
  }

  /** Tells the kernels where the spans lie. */
  place(flights: readonly Flight[]): void {
    flights.forEach(({ first, count }, i) => {
      const { buffer, offset } = this.#spans[i]!.record;
      this.#model.gpu.device.queue.writeBuffer(buffer, offset!, Uint32Array.of(first, count, 0, 0));
    });
  }

  embed(recorder: Recorder, tokens: number): void {
    for (const group of this.#embed) recorder.dispatch(this.#model.kernels.embed, [group], tokens);
  }

  /** @param index of the Mamba block among its like */
  mamba(recorder: Recorder, index: number, flights: readonly Flight[], tokens: number): void {
    const { kernels, plan } = this.#model;
    const m = plan.mambas[index]!;
    const groups = this.#blocks[index]!;
    const product = ({ encoding, group, tileRows, slices }: Product): void =>
      recorder.dispatch(
        kernels.gemm.get(encoding)!,
        [group],
        Math.ceil((8 * tileRows) / GEMM_TILE),
        Math.ceil(tokens / GEMM_TILE),
        slices,
      );
    const spans = (run: (groups: readonly GPUBindGroup[], count: number) => void): void =>
      flights.forEach((flight, i) => {
        run([flight.state.groups[index]!, this.#spans[i]!.group], flight.count);
      });
    recorder.dispatch(kernels.fold, [groups.fold], tokens);
    product(groups.inProj);
    spans((own, count) => {
      recorder.dispatch(kernels.conv, [groups.conv, ...own], Math.ceil(m.block.inner / 256), count);
    });
    product(groups.xProj);
    recorder.dispatch(kernels.gather, [groups.gather], Math.ceil((m.block.dtRank + 2 * m.block.state) / 64), tokens);
    product(groups.dtProj);
    spans((own) => {
      recorder.dispatch(kernels.scan[index]!, [groups.scan, ...own], Math.ceil(m.block.inner / SCAN_CHANNELS));
    });
    product(groups.outProj);
  }

  /** norm(u) of the tokens that `rows` names into the first rows of xn. */
  norm(recorder: Recorder, rows: number): void {
    recorder.dispatch(this.#model.kernels.fold, [this.#norm], rows);
  }

  #bindBlock(index: number): BlockGroups {
    const { plan, activations: a, weights, pipelines, params } = this.#model;
    const { dimQuads, tokenRows, mambas } = plan;
    const m = mambas[index]!;
    const { block, vectors: at, innerPad, xzStride, dbcStride, xTileRows } = m;
    const { dim, inner, state, conv, dtRank, norm } = block;
    const V = weights.vectors[index]!;
    const stride = tokenRows * dimQuads;
    const partsBefore = index === 0 ? 0 : outSlices(mambas[index - 1]!, tokenRows);
    const fold = params.record(
      ...[0, dimQuads, partsBefore, stride, at.norm, f32Word(dim), f32Word(norm.eps), plan.places.partial],
    );
    const convolution = params.record(inner, conv, xzStride, innerPad, at.conv, at.convBias);
    const bcSlices = xSlices(m, tokenRows);
    const bcStride = 8 * xTileRows;
    const gather = params.record(dtRank, state, bcStride, tokenRows * bcStride, bcSlices, m.B, m.C, dbcStride);
    const scan = params.record(
      ...[inner, innerPad, xzStride, dbcStride / 4, m.B / 4, m.C / 4, at.A, at.D, m.ssm, conv - 1, inner],
    );
    const quads = { dim: dimQuads, inner: innerPad / 4, xz: xzStride / 4, dbc: dbcStride / 4, bc: bcStride / 4 };
    return {
      fold: pipelines.bind("wrwru", [a.stream, V, a.xn, a.counting, fold]),
      inProj: this.#product(index, block.inProj.weight, a.xn, quads.dim, a.xz, quads.xz, at.inBias),
      conv: pipelines.bind("rrwu", [a.xz, V, a.x, convolution]),
      xProj: this.#product(index, block.xProj, a.x, quads.inner, a.bc, quads.bc, at.none, bcSlices),
      gather: pipelines.bind("rwu", [a.bc, a.dbc, gather]),
      dtProj: this.#product(index, block.dtProj.weight, a.dbc, quads.dbc, a.dt, quads.inner, at.dtBias),
      scan: pipelines.bind("rrrrrwu", [a.dt, a.x, a.dbc, a.xz, V, a.y, scan]),
      outProj: this.#product(
        index,
        block.outProj.weight,
        a.y,
        quads.inner,
        a.partial,
        quads.dim,
        at.outBias,
        outSlices(m, tokenRows),
      ),
    };
  }

  /** Strides in vec4f. */
  #product(
    index: number,
    name: string,
    from: GPUBuffer,
    fromStride: number,
    to: GPUBuffer | Slice,
    toStride: number,
    bias: number,
    slices = 1,
  ): Product {
    const { plan, weights, pipelines, params } = this.#model;
    const { tileCols, rows, spec } = plan.matrices.get(name)!;
    const tileRows = Math.ceil(rows / 8);
    const slice = Math.ceil(tileCols / slices);
    const record = params.record(
      ...[tileCols, slice, tileRows, fromStride, toStride, plan.tokenRows * toStride, 0, bias, 0],
    );
    const group = pipelines.bind("rrrwu", [from, weights.matrix(name)[0]!, weights.vectors[index]!, to, record]);
    return { encoding: spec.encoding, group, tileRows, slices };
  }
}
