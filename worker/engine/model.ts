import type { Backend, CompileOptions, Executable } from "../../kernels/backend.ts";
import { type Block, inputWidth, multiplyAdds, positionLimit } from "../../kernels/blocks.ts";
import { PackageLoad, readManifest, readVerified } from "../../weights/loader.ts";
import type { Manifest } from "../../weights/manifest.ts";
import type { PackageSource } from "../../weights/source.ts";
import { Batcher } from "./batcher.ts";
import { type BegunLoad, beginLoad } from "./begun-load.ts";
import { sinkOf } from "./decoded.ts";
import { ModelError } from "./errors.ts";
import { Turns } from "./images.ts";
import { checkBudget, heldOf } from "./memory.ts";
import { TextTokenizer } from "./tokenizer.ts";

export interface ModelOptions {
  /** bytes for weights, activations, states and what loading takes: `memoryNeed`. Default 104 MB. */
  readonly memoryBudget?: number;
  /** live sequences that the budget must hold. Default 8. */
  readonly sequences?: number;
  readonly compile?: CompileOptions;
  readonly signal?: AbortSignal;
  /** Called when the weights have their place, before the tokenizer is parsed: a load that begins here goes on meanwhile. */
  readonly onPlaced?: (weights: PackageLoad) => void;
}

/**
 * A package on a backend. Opening reads the manifest and the tokenizer and takes the memory; the weights follow through `beginLoad`, and
 * blocks can compute as soon as they are loaded.
 *
 * @example
 * const model = await Model.load(folderSource("weights/models/fable-31m"), backend);
 */
export class Model {
  readonly manifest: Manifest;
  readonly blocks: readonly Block[];
  readonly executable: Executable;
  /** absent in packages that speak in token ids only. */
  readonly tokenizer: TextTokenizer | undefined;
  /** Jinja: see chat.ts. */
  readonly chatTemplate: string | undefined;
  readonly weights: PackageLoad;
  /** runs sequences that generate at the same time together. */
  readonly batcher: Batcher;
  /** passes of images, one at a time. */
  readonly imageTurns = new Turns();
  /** of a token through every block but the head. */
  readonly multiplyAddsPerToken: number;
  /** of the head, a position. */
  readonly multiplyAddsPerHead: number;

  private constructor(
    manifest: Manifest,
    blocks: readonly Block[],
    executable: Executable,
    weights: PackageLoad,
    tokenizer: TextTokenizer | undefined,
    chatTemplate: string | undefined,
  ) {
    this.manifest = manifest;
    this.blocks = blocks;
    this.executable = executable;
    this.tokenizer = tokenizer;
    this.chatTemplate = chatTemplate;
    this.weights = weights;
    this.batcher = new Batcher(executable);
    const cost = (kind: "head" | "body"): number =>
      blocks.filter((b) => (b.kind === "head") === (kind === "head")).reduce((sum, b) => sum + multiplyAdds(b), 0);
    this.multiplyAddsPerToken = cost("body");
    this.multiplyAddsPerHead = cost("head");
  }

  /**
   * @param ready the backend, or what makes it while the manifest is read
   * @throws PackageError, ModelError (over the memory budget, with the numbers) or KernelError
   */
  static async open(
    source: PackageSource,
    ready: Backend | Promise<Backend>,
    options: ModelOptions = {},
  ): Promise<Model> {
    const [manifest, backend] = await Promise.all([readManifest(source, options.signal), ready]);
    const { blocks, tensors, compile } = heldOf(manifest, options.compile);
    checkBudget(manifest, backend.plan(blocks, tensors, compile), options);
    const reading = manifest.tokenizer && readVerified(source, manifest.tokenizer, options.signal);
    reading?.catch(() => {}); // heard below
    const executable = await backend.compile(blocks, tensors, compile);
    try {
      const weights = new PackageLoad(manifest, sinkOf(executable, manifest, tensors));
      options.onPlaced?.(weights);
      const tokenizer = reading && TextTokenizer.fromJson(await reading);
      const vocab = blocks.find((b) => b.kind === "embedding")?.vocab ?? 0;
      if (tokenizer !== undefined && tokenizer.vocab > vocab) {
        throw new ModelError(
          `the tokenizer of ${manifest.id} has ${tokenizer.vocab} tokens, the embedding has ${vocab} rows: they do not belong together`,
        );
      }
      const template =
        manifest.chatTemplate &&
        new TextDecoder().decode(await readVerified(source, manifest.chatTemplate, options.signal));
      return new Model(manifest, blocks, executable, weights, tokenizer, template);
    } catch (error) {
      executable.dispose();
      throw error;
    }
  }

  /** Opens a package and loads all of it. */
  static async load(
    source: PackageSource,
    backend: Backend,
    options: ModelOptions & { readonly onProgress?: (done: number, total: number) => void } = {},
  ): Promise<Model> {
    let load: BegunLoad | undefined;
    const onPlaced = (weights: PackageLoad): void => {
      load = beginLoad(weights, source, options.signal);
    };
    let model: Model | undefined;
    try {
      model = await Model.open(source, backend, { ...options, onPlaced });
      while (!model.weights.done) {
        await load!.more();
        options.onProgress?.(model.weights.bytesDone, model.weights.bytesTotal);
      }
      return model;
    } catch (error) {
      load?.end();
      model?.dispose();
      throw error;
    }
  }

  get vocab(): number {
    return this.blocks.find((b) => b.kind === "embedding")?.vocab ?? 0;
  }

  /** Length of the vectors that it is fed; 0 when it is fed tokens. */
  get inputs(): number {
    return inputWidth(this.blocks);
  }

  /** Numbers that its head gives at a position. */
  get outputs(): number {
    return this.blocks.find((b) => b.kind === "head")?.vocab ?? 0;
  }

  /** Most positions of a sequence; Infinity where nothing grows with them. */
  get positionLimit(): number {
    return positionLimit(this.blocks);
  }

  /** Every block can compute. */
  get ready(): boolean {
    return this.executable.blocksLoaded === this.blocks.length;
  }

  /** @throws ModelError when the package has no tokenizer.json */
  requireTokenizer(): TextTokenizer {
    if (this.tokenizer === undefined) {
      throw new ModelError(`package ${this.manifest.id} has no tokenizer: give token ids instead of text`);
    }
    return this.tokenizer;
  }

  dispose(): void {
    this.executable.dispose();
  }
}
