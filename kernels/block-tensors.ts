import type { Block, Linear, Norm, S4d } from "./blocks.ts";
import { imageMatrixNames, imageMultiplyAdds, imageTensorShapes } from "./image-blocks.ts";

/** What follows from a block's sizes: its tensors, and what they cost. */

/** The shape that each tensor of a block must have, by tensor name. */
export function tensorShapes(block: Block): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  const linear = (l: Linear, rows: number, cols: number): void => {
    shapes.set(l.weight, [rows, cols]);
    if (l.bias !== undefined) shapes.set(l.bias, [rows]);
  };
  const norm = (n: Norm): void => {
    shapes.set(n.weight, [block.dim]);
    if (n.type === "layer") shapes.set(n.bias, [block.dim]);
  };
  const s4d = ({ state, decay, C, D }: S4d, channels: number): void => {
    shapes.set(decay, [channels, 2 * state]);
    shapes.set(C, [channels, 2 * state]);
    shapes.set(D, [channels]);
  };
  switch (block.kind) {
    case "embedding":
      shapes.set(block.weight, [block.vocab, block.dim]);
      break;
    case "read-in":
      linear(block.proj, block.dim, block.inputs);
      break;
    case "positions":
      shapes.set(block.weight, [block.count, block.dim]);
      break;
    case "attention":
      norm(block.norm);
      linear(block.qkv, 3 * block.dim, block.dim);
      linear(block.proj, block.dim, block.dim);
      break;
    case "mlp":
      norm(block.norm);
      linear(block.up, block.hidden, block.dim);
      linear(block.down, block.dim, block.hidden);
      break;
    case "s4d":
      norm(block.norm);
      s4d(block.s4d, block.dim);
      linear(block.mix, 2 * block.dim, block.dim);
      break;
    case "s4-mamba":
      norm(block.norm);
      linear(block.inProj, 2 * block.inner, block.dim);
      shapes.set(block.convWeight, [block.inner, block.conv]);
      if (block.convBias !== undefined) shapes.set(block.convBias, [block.inner]);
      s4d(block.s4d, block.inner);
      linear(block.outProj, block.dim, block.inner);
      break;
    case "mamba":
      norm(block.norm);
      linear(block.inProj, 2 * block.inner, block.dim);
      shapes.set(block.convWeight, [block.inner, block.conv]);
      if (block.convBias !== undefined) shapes.set(block.convBias, [block.inner]);
      shapes.set(block.xProj, [block.dtRank + 2 * block.state, block.inner]);
      linear(block.dtProj, block.inner, block.dtRank);
      shapes.set(block.A, [block.inner, block.state]);
      shapes.set(block.D, [block.inner]);
      linear(block.outProj, block.dim, block.inner);
      break;
    case "norm":
      norm(block.norm);
      break;
    case "head":
      linear(block.proj, block.vocab, block.dim);
      break;
    default:
      return imageTensorShapes(block);
  }
  return shapes;
}

/** Names of the matrices of a block that a projection multiplies by (or an embedding reads): those that may be quantized. */
export function matrixNames(block: Block): string[] {
  switch (block.kind) {
    case "embedding":
      return [block.weight];
    case "mamba":
      return [block.inProj.weight, block.xProj, block.dtProj.weight, block.outProj.weight];
    case "read-in":
      return [block.proj.weight];
    case "attention":
      return [block.qkv.weight, block.proj.weight];
    case "mlp":
      return [block.up.weight, block.down.weight];
    case "s4d":
      return [block.mix.weight];
    case "s4-mamba":
      return [block.inProj.weight, block.outProj.weight];
    case "positions":
    case "norm":
      return [];
    case "head":
      return [block.proj.weight];
    default:
      return imageMatrixNames(block);
  }
}

/**
 * Multiply-adds a token takes in a block, the head's included only where its logits are asked for; attention's at its capacity, where it
 * looks back furthest. Of image models, a position behind the block.
 */
export function multiplyAdds(block: Block): number {
  switch (block.kind) {
    case "embedding":
    case "positions":
    case "norm":
      return 0;
    case "read-in":
      return block.inputs * block.dim;
    case "attention":
      return block.dim * (4 * block.dim + 2 * block.capacity);
    case "mlp":
      return 2 * block.dim * block.hidden;
    case "s4d":
      return block.dim * (2 * block.dim + 6 * block.s4d.state);
    case "s4-mamba":
      return block.inner * (3 * block.dim + block.conv + 6 * block.s4d.state);
    case "mamba": {
      const { dim, inner, state, conv, dtRank } = block;
      return inner * (2 * dim + dim + dtRank + 2 * state + dtRank + conv + 3 * state);
    }
    case "head":
      return block.vocab * block.dim;
    default:
      return imageMultiplyAdds(block);
  }
}
