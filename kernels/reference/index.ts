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
  type TensorSpec,
} from "../backend.ts";
import { type Block, positionLimit } from "../blocks.ts";
import { checkCount, checkOrder, checkSpans, checkTensors } from "../check.ts";
import { checkImageOptions, checkImageOrder, checkImages, noSequences } from "../check-images.ts";
import { type ImageBlock, type ImageSize, imageSizes, takesImages } from "../image-blocks.ts";
import { grows, type StatePart, stateLayout, stateLength } from "../state.ts";
import { ReferenceImagePass } from "./images.ts";
import { type PassHost, ReferencePass } from "./pass.ts";
import { ReferenceState } from "./state.ts";
import type { Observer, Weights } from "./steps.ts";

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

class ReferenceExecutable implements Executable, PassHost {
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
