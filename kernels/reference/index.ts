import { unpack } from "../../weights/layout.ts";
import {
  type Backend,
  type CompileOptions,
  type Executable,
  type ImagePass,
  type ImageRunner,
  KernelError,
  type MemoryPlan,
  type Pass,
  type Span,
  type SpanOutput,
  type TensorSpec,
} from "../backend.ts";
import { type Block, inputWidth, positionLimit } from "../blocks.ts";
import { checkCount, checkOrder, checkSpans, checkTensors, spanLength } from "../check.ts";
import { checkImageOptions, checkImageOrder, checkImages, noSequences } from "../check-images.ts";
import { type ImageBlock, type ImageSize, imageSizes, takesImages } from "../image-blocks.ts";
import { grows, type StatePart, stateLayout, stateLength } from "../state.ts";
import { attentionStep, mlpStep } from "./attention.ts";
import { ReferenceImagePass } from "./images.ts";
import { s4dStep, s4MambaStep } from "./s4d.ts";
import { ReferenceState } from "./state.ts";
import { linear, logProbability, mambaStep, normalize, type Observer, type Weights } from "./steps.ts";

export type { Observer } from "./steps.ts";

/**
 * The specification: every other backend is tested against it. A quantized tensor means its dequantized values.
 * @param observe hears of every projection's input; of a head's only at positions that it computes
 */
export function createReferenceBackend(observe?: Observer): Backend {
  return {
    name: "reference",
    plan: (blocks, tensors, options = {}) => plan(blocks, tensors, options),
    compile: async (blocks, tensors, options) => new ReferenceExecutable(blocks, tensors, options, observe),
  };
}

/** Weights are kept decoded in f32, activations and states in f64. */
function plan(blocks: readonly Block[], tensors: ReadonlyMap<string, TensorSpec>, options: CompileOptions): MemoryPlan {
  let weights = 0;
  for (const spec of tensors.values()) weights += 4 * elements(spec.shape);
  if (takesImages(blocks)) {
    const { maxImage, maxImages } = checkImageOptions(options);
    return { weights, activations: maxImages * largestStream(blocks, maxImage), statePerSequence: 0 };
  }
  const width = Math.max(0, ...blocks.map((b) => b.dim));
  const most = grows(blocks) ? positionLimit(blocks) : 0;
  return { weights, activations: 8 * width, statePerSequence: 8 * stateLength(stateLayout(blocks, most)) };
}

/** Bytes of the widest SS2D's streams, of one image. */
function largestStream(blocks: readonly Block[], image: ImageSize): number {
  const sizes = imageSizes(blocks, image);
  const widths = blocks.map((b) => (b.kind === "ss2d" ? b.dim + 7 * b.inner : b.dim));
  return Math.max(...widths.map((w, i) => 8 * w * sizes[i + 1]!.height * sizes[i + 1]!.width));
}

function elements(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

interface Arriving {
  readonly spec: TensorSpec;
  bytes: Uint8Array;
  arrived: number;
  values: Float32Array | undefined;
}

class ReferenceExecutable implements Executable {
  readonly stateLayout: readonly StatePart[];
  readonly memory: MemoryPlan;
  readonly maxTokens: number;
  readonly maxSequences: number;
  readonly blocks: readonly Block[];
  readonly observe: Observer | undefined;
  readonly #names: readonly string[][];
  readonly #tensors = new Map<string, Arriving>();
  readonly images?: ImageRunner;
  #pass: ReferencePass | ImagePass | undefined;

  constructor(
    blocks: readonly Block[],
    tensors: ReadonlyMap<string, TensorSpec>,
    options: CompileOptions = {},
    observe?: Observer,
  ) {
    this.blocks = blocks;
    this.observe = observe;
    if (takesImages(blocks)) this.images = this.#runner(blocks, options);
    else checkOrder(blocks);
    this.#names = checkTensors(blocks, tensors);
    for (const name of this.#names.flat()) {
      const spec = tensors.get(name)!;
      this.#tensors.set(name, { spec, bytes: new Uint8Array(spec.bytes), arrived: 0, values: undefined });
    }
    this.stateLayout = stateLayout(blocks);
    this.memory = plan(blocks, tensors, options);
    this.maxTokens = checkCount("maxTokens", options.maxTokens, 64);
    this.maxSequences = checkCount("maxSequences", options.maxSequences, 8);
  }

  get blocksLoaded(): number {
    const missing = this.#names.findIndex((names) => names.some((n) => this.#tensors.get(n)!.values === undefined));
    return missing < 0 ? this.blocks.length : missing;
  }

  load(tensor: string, offset: number, bytes: Uint8Array): void {
    const t = this.#tensors.get(tensor);
    if (t === undefined) throw new KernelError(`no block has a tensor "${tensor}"`);
    if (offset !== t.arrived)
      throw new KernelError(`tensor "${tensor}": expected byte ${t.arrived} next, got ${offset}`);
    if (offset + bytes.length > t.spec.bytes) {
      throw new KernelError(`tensor "${tensor}" has ${t.spec.bytes} bytes, got ${offset + bytes.length}`);
    }
    t.bytes.set(bytes, offset);
    t.arrived += bytes.length;
    if (t.arrived < t.spec.bytes) return;
    const [rows = 1, cols = 1] = t.spec.shape;
    const { encoding } = t.spec;
    t.values = encoding === "f32" ? new Float32Array(t.bytes.buffer) : unpack(t.bytes, rows, cols, encoding);
    t.bytes = new Uint8Array(0);
  }

  readonly weights: Weights = (tensor) => {
    const values = this.#tensors.get(tensor)?.values;
    if (values === undefined) throw new KernelError(`tensor "${tensor}" has not been loaded`);
    return values;
  };

  #runner(blocks: readonly Block[], options: CompileOptions): ImageRunner {
    checkImageOrder(blocks);
    const limits = checkImageOptions(options);
    const host = {
      blocks: blocks as readonly ImageBlock[],
      weights: (tensor: string) => this.weights(tensor),
      observe: this.observe,
      isOpen: (pass: ImagePass) => this.#pass === pass,
      blocksLoaded: () => this.blocksLoaded,
    };
    return {
      ...limits,
      begin: (images, observe) => {
        checkImages(blocks, limits.maxImages, images, observe);
        const pass = new ReferenceImagePass(host, images, observe);
        this.#pass = pass;
        return pass;
      },
    };
  }

  createState(): ReferenceState {
    if (this.images !== undefined) throw noSequences();
    return new ReferenceState(this.blocks);
  }

  begin(spans: readonly Span[]): Pass {
    if (this.images !== undefined) throw noSequences();
    checkSpans(this, spans);
    const pass = new ReferencePass(this, spans, (pass) => this.#pass === pass);
    this.#pass = pass;
    return pass;
  }

  run(spans: readonly Span[]): Pass {
    const pass = this.begin(spans);
    pass.advance();
    return pass;
  }

  dispose(): void {
    this.#tensors.clear();
  }
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

class ReferencePass implements Pass {
  block = 0;
  readonly #executable: ReferenceExecutable;
  readonly #isOpen: (pass: ReferencePass) => boolean;
  readonly #rows: Row[];

  constructor(executable: ReferenceExecutable, spans: readonly Span[], isOpen: (pass: ReferencePass) => boolean) {
    this.#executable = executable;
    this.#isOpen = isOpen;
    this.#rows = spans.map((span) => {
      if (!(span.state instanceof ReferenceState)) throw new KernelError("the span's state belongs to another backend");
      return { span, state: span.state, u: [], logits: [], logProbs: [] };
    });
  }

  advance(end = this.#executable.blocks.length): void {
    const { blocks } = this.#executable;
    if (!this.#isOpen(this)) throw new KernelError("another pass was opened since: this one can no longer advance");
    const loaded = this.#executable.blocksLoaded;
    for (; this.block < end; this.block++) {
      if (this.block >= loaded) throw new KernelError(`block ${this.block} is not loaded yet`);
      for (const row of this.#rows) this.#apply(blocks[this.block]!, row);
      if (this.block < blocks.length - 1 || !grows(blocks)) continue;
      for (const { span, state } of this.#rows) state.advance(spanLength(span, inputWidth(blocks)));
    }
  }

  #apply(block: Block, row: Row): void {
    const { weights, observe } = this.#executable;
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
    const total = this.#executable.blocks.length;
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
