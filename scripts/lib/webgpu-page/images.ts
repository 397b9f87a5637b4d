import type { ImageInput, ImageOutput, ImagePass } from "../../../kernels/backend.ts";
import { fromBase64, toBase64 } from "./base64.ts";
import type { Line } from "./line.ts";

/** The outside of a pass of images in the page. */
export class PageImagePass implements ImagePass {
  block = 0;
  readonly #line: Line;
  readonly #id: number;
  readonly #blocks: number;

  constructor(
    line: Line,
    { id: executable, blocks }: { readonly id: number; readonly blocks: readonly unknown[] },
    id: number,
    images: readonly ImageInput[],
    observe: number | undefined,
  ) {
    this.#line = line;
    this.#blocks = blocks.length;
    this.#id = id;
    const inside = images.map(({ height, width, pixels }) => ({
      ...{ height, width },
      pixels: toBase64(new Uint8Array(pixels.slice().buffer)),
    }));
    line.call("beginImages", executable, id, inside, observe);
  }

  advance(end = this.#blocks): void {
    this.#line.call("advanceImages", this.#id, end);
    this.block = end;
  }

  async read(): Promise<readonly ImageOutput[]> {
    const outputs = await this.#line.call("readImages", this.#id);
    const f32 = (text: string): Float32Array => new Float32Array(fromBase64(text).buffer);
    return outputs.map(({ logits, responses }) => ({
      logits: f32(logits),
      ...(responses && { responses: { ...responses, values: f32(responses.values) } }),
    }));
  }
}
