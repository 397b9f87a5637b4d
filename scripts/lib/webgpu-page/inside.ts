import {
  type CompileOptions,
  type Executable,
  type ImageInput,
  type ImagePass,
  SAMPLED,
  type ScanResponses,
  type Span,
  type TensorSpec,
} from "../../../kernels/backend.ts";
import type { Block } from "../../../kernels/blocks.ts";
import { createWebGpuBackend, type WebGpuBackend } from "../../../kernels/webgpu/index.ts";
import { fromBase64, toBase64 } from "./base64.ts";

/** What runs in the page: the backend, its objects known to the outside by number. Everything that passes is JSON. */

/** A span whose state is a number and whose tokens are null when they are the chosen one. */
export type PageSpan = Omit<Span, "state" | "tokens" | "targets" | "vectors"> & {
  readonly state: number;
  readonly tokens: number[] | null;
  readonly targets?: number[];
  /** f32s as text. */
  readonly vectors?: string;
};

export interface PageOutput {
  readonly logits: string;
  readonly logProbs: string;
  readonly token?: number;
}

/** An image or an outcome whose f32s are text. */
type Textual<T, K extends keyof T> = Omit<T, K> & Record<K, string>;
export type PageImage = Textual<ImageInput, "pixels">;
export interface PageImageOutput {
  readonly logits: string;
  readonly responses?: Textual<ScanResponses, "values">;
}

type PageState = ReturnType<Executable["createState"]>;
/** Every pass of this backend counts its kernels. */
type PagePass = ReturnType<Executable["begin"]> & { readonly dispatches: number };

const fromF32 = (values: Float32Array): string => toBase64(new Uint8Array(values.slice().buffer));
const toF32 = (text: string): Float32Array => new Float32Array(fromBase64(text).buffer);

let backend: WebGpuBackend;
const executables = new Map<number, Executable>();
const states = new Map<number, PageState>();
const passes = new Map<number, PagePass>();
const imagePasses = new Map<number, ImagePass>();

const page = {
  async open(): Promise<string> {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) throw new Error("this browser has no WebGPU adapter");
    backend = createWebGpuBackend(await adapter.requestDevice());
    return adapter.info.description;
  },
  async compile(id: number, blocks: Block[], tensors: [string, TensorSpec][], options?: CompileOptions): Promise<void> {
    executables.set(id, await backend.compile(blocks, new Map(tensors), options));
  },
  load(id: number, tensor: string, offset: number, bytes: string): void {
    executables.get(id)!.load(tensor, offset, fromBase64(bytes));
  },
  createState(id: number, state: number): void {
    states.set(state, executables.get(id)!.createState());
  },
  async readState(state: number): Promise<string> {
    return fromF32(await states.get(state)!.read());
  },
  writeState(state: number, values: string): void {
    states.get(state)!.write(toF32(values));
  },
  copyState(state: number, from: number): void {
    states.get(state)!.copyFrom(states.get(from)!);
  },
  resetState(state: number): void {
    states.get(state)!.reset();
  },
  disposeState(state: number): void {
    states.get(state)?.dispose();
    states.delete(state);
  },
  begin(id: number, pass: number, spans: PageSpan[]): void {
    const inside = spans.map(
      ({ state, tokens, vectors, ...rest }): Span => ({
        ...rest,
        state: states.get(state)!,
        tokens: tokens === null ? SAMPLED : tokens,
        ...(vectors !== undefined && { vectors: toF32(vectors) }),
      }),
    );
    passes.set(pass, executables.get(id)!.begin(inside) as PagePass);
  },
  advance(pass: number, end: number): void {
    passes.get(pass)!.advance(end);
  },
  async readPass(pass: number): Promise<{ outputs: PageOutput[]; dispatches: number }> {
    const { dispatches } = passes.get(pass)!;
    const outputs = await passes.get(pass)!.read();
    passes.delete(pass);
    return {
      dispatches,
      outputs: outputs.map(({ logits, logProbs, token }) => ({
        logits: fromF32(logits),
        logProbs: fromF32(logProbs),
        ...(token !== undefined && { token }),
      })),
    };
  },
  beginImages(id: number, pass: number, images: PageImage[], observe?: number): void {
    const inside = images.map((image): ImageInput => ({ ...image, pixels: toF32(image.pixels) }));
    imagePasses.set(pass, executables.get(id)!.images!.begin(inside, observe));
  },
  advanceImages(pass: number, end: number): void {
    imagePasses.get(pass)!.advance(end);
  },
  async readImages(pass: number): Promise<PageImageOutput[]> {
    const outputs = await imagePasses.get(pass)!.read();
    imagePasses.delete(pass);
    return outputs.map(({ logits, responses }) => ({
      logits: fromF32(logits),
      ...(responses && { responses: { ...responses, values: fromF32(responses.values) } }),
    }));
  },
  dispose(id: number): void {
    executables.get(id)?.dispose();
    executables.delete(id);
  },
  /** bytes that live, pipelines made. */
  counts(): { liveBytes: number; pipelines: number } {
    return { liveBytes: backend.liveBytes, pipelines: backend.pipelines };
  },
};

export type Page = typeof page;

Object.assign(globalThis, { webgpuPage: page });
