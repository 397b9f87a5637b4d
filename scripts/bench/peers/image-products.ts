import type { Block } from "../../../kernels/blocks.ts";
import { type ImageSize, imageChannels, imageSizes } from "../../../kernels/image-blocks.ts";

/** A convolution or projection of an image model, on values of its own or of another's. */
export interface Product {
  readonly kind: "conv" | "depthwise" | "projection";
  readonly name: string;
  /** name of the input or the product whose values it reads. */
  readonly reads: string;
  /** channels of what it reads and gives. */
  readonly inputs: number;
  readonly outputs: number;
  readonly from: ImageSize;
  readonly to: ImageSize;
  /** of a convolution. */
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

export interface ImageProducts {
  /** the image, and the positions of each stage in front of its projections. */
  readonly inputs: readonly { readonly name: string; readonly channels: number; readonly size: ImageSize }[];
  readonly list: readonly Product[];
}

/**
 * The convolutions and projections of a VMamba, without what lies between them: dense convolutions one behind the other from the image,
 * each stage's depthwise ones on what the convolution in front of the stage gives, and its projections one behind the other from an input
 * of their own, x_proj aside. The steps' projections, which are part of our scan, and the head, of one position, are left out.
 * @throws RangeError on a model whose projections do not fit one another so
 */
export function imageProducts(blocks: readonly Block[], image: ImageSize): ImageProducts {
  const sizes = imageSizes(blocks, image);
  const inputs: ImageProducts["inputs"][number][] = [{ name: "image", channels: imageChannels(blocks), size: image }];
  const list: Product[] = [];
  let picture = "image";
  let tokens: string | undefined;
  blocks.forEach((block, i) => {
    const [from, to] = [sizes[i]!, sizes[i + 1]!];
    const plain = { from, to, kernel: 1, stride: 1, padding: 0 };
    const project = (name: string, columns: number, rows: number, aside = false): void => {
      if (tokens === undefined) {
        tokens = `positions.${inputs.length}`;
        inputs.push({ name: tokens, channels: columns, size: from });
      }
      list.push({ ...plain, kind: "projection", name, reads: tokens, inputs: columns, outputs: rows });
      if (!aside) tokens = name;
    };
    if (block.kind === "conv2d") {
      const { inputs: channels, dim, kernel, stride, padding } = block;
      const name = block.conv.weight;
      list.push({
        kind: "conv",
        name,
        reads: picture,
        inputs: channels,
        outputs: dim,
        from,
        to,
        kernel,
        stride,
        padding,
      });
      picture = name;
      tokens = undefined;
    } else if (block.kind === "ss2d") {
      const { dim, inner, state, dtRank, gated } = block;
      if (gated || inner !== dim)
        throw new RangeError("products are compared of models that are not gated, inner = dim");
      project(block.inProj.weight, dim, inner);
      const near = { ...plain, kernel: 3, padding: 1 };
      list.push({ ...near, kind: "depthwise", name: block.convWeight, reads: picture, inputs: inner, outputs: inner });
      project(block.xProj, inner, 4 * (dtRank + 2 * state), true);
      project(block.outProj.weight, inner, dim);
    } else if (block.kind === "mlp") {
      project(block.up.weight, block.dim, block.hidden);
      project(block.down.weight, block.hidden, block.dim);
    }
  });
  return { inputs, list };
}

/** Columns of a product's matrix; a depthwise convolution has one of its kernel's size a channel. */
export function columnsOf({ kind, kernel, inputs }: Product): number {
  return kind === "depthwise" ? kernel ** 2 : kernel ** 2 * inputs;
}

export function multiplyAddsOf(product: Product): number {
  return product.to.height * product.to.width * product.outputs * columnsOf(product);
}

/** Names that no other product reads. */
export function endsOf({ list }: ImageProducts): Product[] {
  const read = new Set(list.map(({ reads }) => reads));
  return list.filter(({ name }) => !read.has(name));
}

/** (outputs, columns) uniform values that keep the size of what they are multiplied by; columns by row of the kernel, column, channel. */
export function randomWeights({ list }: ImageProducts): Map<string, Float32Array> {
  return new Map(
    list.map((product) => {
      const columns = columnsOf(product);
      const most = Math.sqrt(3 / columns);
      return [product.name, randomUniform(product.outputs * columns, most)] as const;
    }),
  );
}

/** (height · width, channels) of each input. */
export function randomInputs({ inputs }: ImageProducts): Map<string, Float32Array> {
  return new Map(
    inputs.map(({ name, channels, size }) => [name, randomUniform(size.height * size.width * channels, Math.sqrt(3))]),
  );
}

function randomUniform(count: number, most: number): Float32Array {
  return Float32Array.from({ length: count }, () => most * (2 * Math.random() - 1));
}
