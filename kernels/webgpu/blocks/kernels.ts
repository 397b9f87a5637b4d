import type { Encoding } from "../../backend.ts";
import { KernelError } from "../../backend.ts";
import { type Block, matrixNames } from "../../blocks.ts";
import { takesImages } from "../../image-blocks.ts";
import type { Kernel, KernelSource, Pipelines } from "../pipelines.ts";
import { attentionSource, WIDEST_HEAD } from "../wgsl/attention.ts";
import { CONV } from "../wgsl/conv.ts";
import { DEPTHWISE } from "../wgsl/depthwise.ts";
import { GATED_ADD, PICK, POSITIONS } from "../wgsl/elementwise.ts";
import { embedSource } from "../wgsl/embed.ts";
import { GATHER } from "../wgsl/gather.ts";
import { MERGE, RESPONSES } from "../wgsl/merge.ts";
import { NORM } from "../wgsl/norm.ts";
import { PATCHES } from "../wgsl/patches.ts";
import { POOL } from "../wgsl/pool.ts";
import { fewProductSource, PRODUCT_TILE, productSource, productTile } from "../wgsl/product.ts";
import { MOST_S4D_STATE, s4dSource } from "../wgsl/s4d.ts";
import { scanSource } from "../wgsl/scan.ts";
import { scan2dSource } from "../wgsl/scan2d.ts";
import { SCORE } from "../wgsl/score.ts";
import type { TensorPlan } from "./tensors.ts";

/** Most states of a channel that a thread of a selective scan keeps. */
const MOST_STATE = 256;

/** The kernels that a list of blocks needs, by name. */
export class BlockKernels {
  readonly #kernels: Readonly<Record<string, Kernel>>;

  constructor(kernels: Readonly<Record<string, Kernel>>) {
    this.#kernels = kernels;
  }

  get(name: string): Kernel {
    return this.#kernels[name]!;
  }

  has(name: string): boolean {
    return name in this.#kernels;
  }
}

/**
 * Compiles those that are not there yet, side by side.
 * @param positions of a block that go through a product at most
 * @throws WebGpuError
 */
export async function makeBlockKernels(
  pipelines: Pipelines,
  plan: TensorPlan,
  positions: (block: number) => number,
): Promise<BlockKernels> {
  return new BlockKernels(await pipelines.make(blockSources(plan, positions)));
}

function blockSources(
  { blocks, specs, matrices }: TensorPlan,
  positions: (block: number) => number,
): Record<string, KernelSource> {
  const sources: Record<string, KernelSource> = {};
  const encoding = (name: string): Encoding => specs.get(name)!.encoding;
  blocks.forEach((block, i) => {
    Object.assign(sources, sourcesOf(block, encoding, takesImages(blocks)));
    if ("norm" in block && block.norm !== undefined) sources.norm = NORM;
    if (block.kind === "embedding") return;
    for (const name of matrixNames(block)) {
      const e = encoding(name);
      sources[`few product ${e}`] = fewProductSource(e);
      for (const tile of new Set([PRODUCT_TILE, productTile(matrices.get(name)!.rows, positions(i))] as const)) {
        sources[`product ${e} ${tile}`] = productSource(e, tile);
      }
    }
  });
  return sources;
}

/** Beside norms and products. */
function sourcesOf(block: Block, encoding: (name: string) => Encoding, images: boolean): Record<string, KernelSource> {
  switch (block.kind) {
    case "embedding":
      return { embed: embedSource(encoding(block.weight)), score: SCORE };
    case "positions":
      return { positions: POSITIONS };
    case "attention": {
      const width = block.dim / block.heads;
      return { [`attention ${width}`]: attentionSource(width) };
    }
    case "s4d":
      return { [`s4d ${block.s4d.state}`]: s4dSource(block.s4d.state), gate: GATED_ADD };
    case "s4-mamba":
      return { [`s4d ${block.s4d.state}`]: s4dSource(block.s4d.state), conv: CONV };
    case "mamba":
      return { [`scan ${block.state}`]: scanSource(block.state), conv: CONV, gather: GATHER };
    case "conv2d":
    case "patch-merge":
      return { patches: PATCHES };
    case "ss2d":
      return {
        depthwise: DEPTHWISE,
        [`scan2d ${block.state}`]: scan2dSource(block.state),
        merge: MERGE,
        responses: RESPONSES,
      };
    case "pool":
      return { pool: POOL };
    case "head":
      return images ? {} : { pick: PICK };
    default:
      return {};
  }
}

/** @throws KernelError on sizes that no kernel is made for */
export function checkSizes(blocks: readonly Block[]): void {
  blocks.forEach((block, i) => {
    const where = `block ${i} (${block.kind})`;
    if (block.kind === "attention" && block.dim / block.heads > WIDEST_HEAD) {
      throw new KernelError(
        `${where} has heads ${block.dim / block.heads} wide, the webgpu backend takes up to ${WIDEST_HEAD}: run it on wasm`,
      );
    }
    if ((block.kind === "mamba" || block.kind === "ss2d") && block.state > MOST_STATE) {
      throw new KernelError(
        `${where} has ${block.state} states a channel, the webgpu backend takes up to ${MOST_STATE}: run it on wasm`,
      );
    }
    if ((block.kind === "s4d" || block.kind === "s4-mamba") && block.s4d.state > MOST_S4D_STATE) {
      throw new KernelError(
        `${where} has ${block.s4d.state} states a channel, the webgpu backend takes up to ${MOST_S4D_STATE}: run it on wasm`,
      );
    }
  });
}
