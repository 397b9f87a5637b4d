import { KernelError } from "../../backend.ts";
import type { AttentionBlock, Block, MambaBlock, MlpBlock, S4dBlock, S4MambaBlock } from "../../blocks.ts";
import type { Kernel, Slice } from "../pipelines.ts";
import type { Recorder } from "../recorder.ts";
import { mambaSizes } from "../sizes.ts";
import { CHANNELS } from "../wgsl/elementwise.ts";
import { NONE } from "../wgsl/math.ts";
import { SCAN_CHANNELS } from "../wgsl/scan.ts";
import { type Launch, type Launches, launch, type Rows } from "./launches.ts";
import type { SequenceBuffer, SequencePlan } from "./sequence-plan.ts";
import type { BlockState } from "./sequence-state.ts";
import { ZEROS } from "./tensors.ts";

/** A span on its way through the blocks. */
export interface SpanFlight {
  readonly state: BlockState;
  /** its first token in the pass. */
  readonly first: number;
  readonly count: number;
}

/** What a block's launches need to know of a pass. */
export interface Traffic {
  readonly flights: readonly SpanFlight[];
  /** tells kernels where each span lies: first token, tokens, positions before it. */
  readonly spans: readonly GPUBindGroup[];
  readonly tokens: number;
}

/** Puts a block's work for a pass into a recorder. */
export type Work = (recorder: Recorder, traffic: Traffic) => void;

/** Buffers for tokens, and those that are not rows of f32s. */
export type SequenceBuffers = Readonly<Record<SequenceBuffer, GPUBuffer>> & { readonly tokens: GPUBuffer };

/**
 * The work of each block but the head, all of its bind groups made beforehand. Projections, norms and what is elementwise run over the
 * tokens of all spans together; what has a state runs a span at a time.
 */
export class SequenceBlocks {
  readonly works: readonly Work[];
  /** the stream behind the last block, or in front of the head. */
  readonly stream: Rows;
  readonly #make: Launches;
  readonly #plan: SequencePlan;
  readonly #buffers: SequenceBuffers;

  constructor(make: Launches, plan: SequencePlan, buffers: SequenceBuffers) {
    this.#make = make;
    this.#plan = plan;
    this.#buffers = buffers;
    let [u, next] = [this.#rows("u"), this.#rows("next")];
    this.works = plan.blocks.map((block, i): Work => {
      if (block.kind !== "norm") return this.#workOf(block, i, u);
      const launches = [make.norm(i, block.norm, block.dim, u, next, this.#tokens)];
      [u, next] = [next, u];
      return (recorder, { tokens }) => launch(recorder, launches, tokens);
    });
    this.stream = u;
  }

  get #tokens(): number {
    return this.#plan.rows("u");
  }

  #rows(name: SequenceBuffer): Rows {
    return { buffer: this.#buffers[name], stride: this.#plan.strides[name] };
  }

  #workOf(block: Block, i: number, u: Rows): Work {
    switch (block.kind) {
      case "embedding":
        return this.#embedding(block.weight, u);
      case "read-in":
        return this.#all(this.#make.product(i, block.proj, this.#rows("vectors"), u, this.#tokens));
      case "positions":
        return this.#positions(i, block.weight, block.dim, u);
      case "attention":
        return this.#attention(block, i, u);
      case "mlp":
        return this.#mlp(block, i, u);
      case "s4d":
        return this.#s4d(block, i, u);
      case "s4-mamba":
        return this.#s4Mamba(block, i, u);
      case "mamba":
        return this.#mamba(block, i, u);
      case "head":
        return () => {};
      default:
        throw new KernelError(`block ${i} (${block.kind}) has no place in a model of sequences`);
    }
  }

  /** Over the tokens of all spans. */
  #all(launches: readonly Launch[]): Work {
    return (recorder, { tokens }) => launch(recorder, launches, tokens);
  }

  /** A span at a time, with its state where the block has one. */
  #each(kernel: Kernel, group: GPUBindGroup, block: number, grid: (count: number) => [number, number?]): Work {
    return (recorder, { flights, spans }) =>
      flights.forEach(({ state, count }, s) => {
        const own = state.groups[block];
        recorder.dispatch(kernel, [group, ...(own === undefined ? [] : [own]), spans[s]!], ...grid(count));
      });
  }

  #embedding(weight: string, u: Rows): Work {
    const { kernels, tensors } = this.#make;
    const { tileCols, parts } = tensors.plan.matrices.get(weight)!;
    const groups = parts.map(({ firstRow, tileRows }, p) => {
      const slices = [this.#buffers.tokens, tensors.matrix(weight)[p]!, u.buffer];
      return this.#make.bind("rrwu", slices, [firstRow, 8 * tileRows, tileCols, u.stride / 4]);
    });
    return (recorder, { tokens }) => {
      for (const group of groups) recorder.dispatch(kernels.get("embed"), [group], tokens);
    };
  }

  #positions(i: number, weight: string, dim: number, u: Rows): Work {
    const { kernels, tensors } = this.#make;
    const group = this.#make.bind("rwu", [tensors.vectors(i), u.buffer], [dim, u.stride, tensors.at(i, weight)]);
    return this.#each(kernels.get("positions"), group, i, (count) => [Math.ceil(dim / CHANNELS), count]);
  }

  #attention({ dim, heads, norm, qkv, proj }: AttentionBlock, i: number, u: Rows): Work {
    const [normed, first, y] = [this.#rows("normed"), this.#rows("first"), this.#rows("y")];
    const kernel = this.#make.kernels.get(`attention ${dim / heads}`);
    const group = this.#make.bind("rwu", [first.buffer, y.buffer], [dim, first.stride, y.stride]);
    return inTurn(
      this.#all([
        this.#make.norm(i, norm, dim, u, normed, this.#tokens),
        ...this.#make.product(i, qkv, normed, first, this.#tokens),
      ]),
      this.#each(kernel, group, i, (count) => [heads, count]),
      this.#all(this.#make.product(i, proj, y, u, this.#tokens, { add: true })),
    );
  }

  #mlp({ dim, norm, up, down, gelu }: MlpBlock, i: number, u: Rows): Work {
    const [normed, first] = [this.#rows("normed"), this.#rows("first")];
    return this.#all([
      this.#make.norm(i, norm, dim, u, normed, this.#tokens),
      ...this.#make.product(i, up, normed, first, this.#tokens, { act: gelu ?? "tanh" }),
      ...this.#make.product(i, down, first, u, this.#tokens, { add: true }),
    ]);
  }

  #s4d({ dim, norm, s4d, mix }: S4dBlock, i: number, u: Rows): Work {
    const [normed, first, y] = [this.#rows("normed"), this.#rows("first"), this.#rows("y")];
    const scan = this.#s4dScan(i, s4d, dim, normed, first, y, { z: NONE, ssm: 0, window: 0 });
    const gate = this.#make.bind("rwu", [first.buffer, u.buffer], [dim, first.stride, u.stride]);
    const kernel = this.#make.kernels.get("gate");
    return inTurn(
      this.#all([this.#make.norm(i, norm, dim, u, normed, this.#tokens)]),
      scan,
      this.#all(this.#make.product(i, mix, y, first, this.#tokens)),
      (recorder, { tokens }) => recorder.dispatch(kernel, [gate], Math.ceil(dim / CHANNELS), tokens),
    );
  }

  #s4Mamba(block: S4MambaBlock, i: number, u: Rows): Work {
    const { dim, inner, conv, norm, inProj, s4d, outProj } = block;
    const [normed, first, x, y] = [this.#rows("normed"), this.#rows("first"), this.#rows("x"), this.#rows("y")];
    return inTurn(
      this.#all([
        this.#make.norm(i, norm, dim, u, normed, this.#tokens),
        ...this.#make.product(i, inProj, normed, first, this.#tokens),
      ]),
      this.#conv(block, i, first, x),
      this.#s4dScan(i, s4d, inner, x, first, y, { z: inner, ssm: (conv - 1) * inner, window: conv - 1 }),
      this.#all(this.#make.product(i, outProj, y, u, this.#tokens, { add: true })),
    );
  }

  #mamba(block: MambaBlock, i: number, u: Rows): Work {
    const { dim, inner, state, conv, dtRank, norm, inProj, xProj, dtProj, outProj } = block;
    const { kernels, tensors } = this.#make;
    const [normed, first, x] = [this.#rows("normed"), this.#rows("first"), this.#rows("x")];
    const [dt, y, bc, dbc] = [this.#rows("dt"), this.#rows("y"), this.#rows("bc"), this.#rows("dbc")];
    const { B, C, ssm } = mambaSizes(block);
    const gathering = [dtRank, state, bc.stride, 0, 1, B, C, dbc.stride];
    const gather = this.#make.bind("rwu", [bc.buffer, dbc.buffer], gathering);
    const V = tensors.vectors(i);
    const [A, D] = [tensors.at(i, block.A), tensors.at(i, block.D)];
    const words = [inner, x.stride, first.stride, dbc.stride / 4, B / 4, C / 4, A, D, ssm, conv - 1, inner];
    const scan = this.#make.bind(
      "rrrrrwu",
      [dt.buffer, x.buffer, dbc.buffer, first.buffer, V, y.buffer].map((buffer) => ({ buffer })),
      words,
    );
    const values = Math.ceil((dtRank + 2 * state) / 64);
    return inTurn(
      this.#all([
        this.#make.norm(i, norm, dim, u, normed, this.#tokens),
        ...this.#make.product(i, inProj, normed, first, this.#tokens),
      ]),
      this.#conv(block, i, first, x),
      this.#all(this.#make.product(i, { weight: xProj }, x, bc, this.#tokens)),
      (recorder, { tokens }) => recorder.dispatch(kernels.get("gather"), [gather], values, tokens),
      this.#all(this.#make.product(i, dtProj, dbc, dt, this.#tokens)),
      this.#each(kernels.get(`scan ${state}`), scan, i, () => [Math.ceil(inner / SCAN_CHANNELS)]),
      this.#all(this.#make.product(i, outProj, y, u, this.#tokens, { add: true })),
    );
  }

  #conv(block: MambaBlock | S4MambaBlock, i: number, xz: Rows, x: Rows): Work {
    const { kernels, tensors } = this.#make;
    const { inner, conv, convWeight, convBias } = block;
    const [weight, bias] = [tensors.at(i, convWeight), tensors.at(i, convBias ?? ZEROS)];
    const slices: Slice[] = [xz.buffer, tensors.vectors(i), x.buffer].map((buffer) => ({ buffer }));
    const group = this.#make.bind("rrwu", slices, [inner, conv, xz.stride, x.stride, weight, bias]);
    return this.#each(kernels.get("conv"), group, i, (count) => [Math.ceil(inner / 256), count]);
  }

  #s4dScan(
    i: number,
    { state, decay, C, D }: S4dBlock["s4d"],
    channels: number,
    x: Rows,
    xz: Rows,
    y: Rows,
    { z, ssm, window }: { readonly z: number; readonly ssm: number; readonly window: number },
  ): Work {
    const { kernels, tensors } = this.#make;
    const [decays, Cs, skip] = [tensors.at(i, decay), tensors.at(i, C), tensors.at(i, D)];
    const slices: Slice[] = [x.buffer, xz.buffer, tensors.vectors(i), y.buffer].map((buffer) => ({ buffer }));
    const words = [x.stride, xz.stride, y.stride, z, decays, Cs, skip, ssm, window, channels];
    const group = this.#make.bind("rrrwu", slices, words);
    return this.#each(kernels.get(`s4d ${state}`), group, i, () => [channels]);
  }
}

function inTurn(...works: readonly Work[]): Work {
  return (recorder, traffic) => {
    for (const work of works) work(recorder, traffic);
  };
}
