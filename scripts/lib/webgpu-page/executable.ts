import {
  type Executable,
  type ImageRunner,
  KernelError,
  type MemoryPlan,
  type Pass,
  SAMPLED,
  type SequenceState,
  type Span,
  type SpanOutput,
  type TensorSpec,
} from "../../../kernels/backend.ts";
import { type Block, inputWidth, tensorShapes } from "../../../kernels/blocks.ts";
import { checkState, spanLength } from "../../../kernels/check.ts";
import { grows, type StatePart, stateLayout } from "../../../kernels/state.ts";
import type { planWebGpu } from "../../../kernels/webgpu/index.ts";
import { isFused } from "../../../kernels/webgpu/plan.ts";
import { fromBase64, toBase64 } from "./base64.ts";
import { PageImagePass } from "./images.ts";
import type { PageSpan } from "./inside.ts";
import type { Line } from "./line.ts";

/** Bytes of a weight that pass at once. */
const PIECE = 4 * 1024 * 1024;

/** What is known of a compiled model out here. */
type Plan = ReturnType<typeof planWebGpu> & {
  readonly blocks: readonly Block[];
  readonly tensors: ReadonlyMap<string, TensorSpec>;
};

class PageState implements SequenceState {
  positions = 0;
  readonly id: number;
  readonly executable: PageExecutable;

  constructor(executable: PageExecutable, id: number) {
    this.executable = executable;
    this.id = id;
    executable.line.call("createState", executable.id, id);
  }

  async read(): Promise<Float32Array> {
    return new Float32Array(fromBase64(await this.executable.line.call("readState", this.id)).buffer);
  }

  write(values: Float32Array): void {
    this.positions = checkState(values, this.executable.blocks);
    this.executable.line.call("writeState", this.id, toBase64(new Uint8Array(values.slice().buffer)));
  }

  copyFrom(other: SequenceState): void {
    this.executable.line.call("copyState", this.id, (other as PageState).id);
    this.positions = (other as PageState).positions;
  }

  reset(): void {
    this.executable.line.call("resetState", this.id);
    this.positions = 0;
  }

  dispose(): void {
    this.executable.line.call("disposeState", this.id);
  }
}

/** The outside of an executable in the page. */
export class PageExecutable implements Executable {
  readonly samples?: boolean;
  readonly images?: ImageRunner;
  readonly line: Line;
  readonly id: number;
  readonly #plan: Plan;
  readonly #nextId: () => number;
  readonly #arrived = new Map<string, number>();

  constructor(line: Line, id: number, plan: Plan, nextId: () => number) {
    this.line = line;
    this.id = id;
    this.#plan = plan;
    this.#nextId = nextId;
    if (isFused(plan.blocks)) this.samples = true;
    const { maxImage, maxImages } = plan;
    if (maxImage === undefined || maxImages === undefined) return;
    this.images = {
      maxImage,
      maxImages,
      begin: (images, observe) => new PageImagePass(line, this, nextId(), images, observe),
    };
  }

  get blocks(): readonly Block[] {
    return this.#plan.blocks;
  }

  get stateLayout(): readonly StatePart[] {
    return stateLayout(this.blocks);
  }

  get memory(): MemoryPlan {
    return this.#plan.memory;
  }

  get maxTokens(): number {
    return this.#plan.maxTokens;
  }

  get maxSequences(): number {
    return this.#plan.maxSequences;
  }

  get blocksLoaded(): number {
    const { tensors } = this.#plan;
    const missing = this.blocks.findIndex((block) =>
      [...tensorShapes(block).keys()].some((name) => this.#arrived.get(name) !== tensors.get(name)!.bytes),
    );
    return missing < 0 ? this.blocks.length : missing;
  }

  load(tensor: string, offset: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += PIECE) {
      this.line.call("load", this.id, tensor, offset + at, toBase64(bytes.subarray(at, at + PIECE)));
    }
    this.#arrived.set(tensor, offset + bytes.length);
  }

  createState(): PageState {
    return new PageState(this, this.#nextId());
  }

  begin(spans: readonly Span[]): PagePass {
    const id = this.#nextId();
    const inside = spans.map(
      ({ state, tokens, targets, vectors, ...rest }): PageSpan => ({
        ...rest,
        ...(vectors && { vectors: toBase64(new Uint8Array(vectors.slice().buffer)) }),
        state: (state as PageState).id,
        tokens: tokens === SAMPLED ? null : Array.from(tokens),
        ...(targets && { targets: Array.from(targets) }),
      }),
    );
    this.line.call("begin", this.id, id, inside);
    return new PagePass(this, id, spans);
  }

  run(spans: readonly Span[]): PagePass {
    const pass = this.begin(spans);
    pass.advance();
    return pass;
  }

  dispose(): void {
    this.line.call("dispose", this.id);
  }
}

class PagePass implements Pass {
  block = 0;
  /** of the whole pass, once read. */
  dispatches = 0;
  readonly #executable: PageExecutable;
  readonly #id: number;
  readonly #spans: readonly Span[];

  constructor(executable: PageExecutable, id: number, spans: readonly Span[]) {
    this.#executable = executable;
    this.#id = id;
    this.#spans = spans;
  }

  advance(end = this.#executable.blocks.length): void {
    if (end > this.#executable.blocksLoaded) throw new KernelError(`block ${end - 1} is not loaded yet`);
    this.#executable.line.call("advance", this.#id, end);
    const { blocks } = this.#executable;
    if (this.block < blocks.length && end === blocks.length && grows(blocks)) {
      for (const span of this.#spans) (span.state as PageState).positions += spanLength(span, inputWidth(blocks));
    }
    this.block = end;
  }

  async read(): Promise<readonly SpanOutput[]> {
    const { outputs, dispatches } = await this.#executable.line.call("readPass", this.#id);
    this.dispatches = dispatches;
    const f32 = (text: string): Float32Array => new Float32Array(fromBase64(text).buffer);
    return outputs.map(({ logits, logProbs, token }) => ({
      logits: f32(logits),
      logProbs: f32(logProbs),
      ...(token !== undefined && { token }),
    }));
  }
}
