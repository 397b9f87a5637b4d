import type { Encoding } from "../backend.ts";
import type { Kernel, KernelSource, Pipelines } from "./pipelines.ts";
import type { Plan } from "./plan.ts";
import { bcParts, decodeParts, type Shapes } from "./shapes.ts";
import type { Variants } from "./variants.ts";
import { CHOOSE } from "./wgsl/choose.ts";
import { CONV } from "./wgsl/conv.ts";
import { DRAW } from "./wgsl/draw.ts";
import { embedSource } from "./wgsl/embed.ts";
import { FOLD } from "./wgsl/fold.ts";
import { GATHER } from "./wgsl/gather.ts";
import { gemmSource } from "./wgsl/gemm.ts";
import { halvesSource } from "./wgsl/halves.ts";
import { logitsSource } from "./wgsl/logits.ts";
import { scanSource } from "./wgsl/scan.ts";
import { SCORE } from "./wgsl/score.ts";

/** Of the many ways to compute the same. */
export interface KernelChoice {
  readonly shapes: Shapes;
  readonly variants: Variants;
}

/** The kernels that a model needs. */
export interface ModelKernels extends KernelChoice {
  readonly embed: Kernel;
  readonly fold: Kernel;
  readonly conv: Kernel;
  readonly gather: Kernel;
  readonly score: Kernel;
  readonly choose: Kernel;
  readonly draw: Kernel;
  readonly logits: Kernel;
  readonly gemm: ReadonlyMap<Encoding, Kernel>;
  /** by Mamba block. */
  readonly halves: readonly Kernel[];
  readonly scan: readonly Kernel[];
}

/** Compiles those that are not there yet, side by side. @throws WebGpuError */
export async function makeKernels(
  pipelines: Pipelines,
  plan: Plan,
  { shapes, variants }: KernelChoice,
): Promise<ModelKernels> {
  const encoding = (name: string): Encoding => plan.tensors.get(name)!.encoding;
  const sources: Record<string, KernelSource> = {
    embed: embedSource(encoding(plan.embedding.weight)),
    fold: FOLD,
    conv: CONV,
    gather: GATHER,
    score: SCORE,
    choose: CHOOSE,
    draw: DRAW,
    logits: logitsSource(encoding(plan.head.proj.weight), plan.dimQuads, variants),
  };
  const used = new Set<Encoding>([encoding(plan.head.proj.weight)]);
  plan.mambas.forEach((m, i) => {
    const { inProj, xProj, dtProj, outProj, state } = m.block;
    const halves = {
      ...{
        sizes: m,
        weights: plan.blockWeights[i]!,
        places: plan.places,
        rows: shapes.rows,
        channels: shapes.channels,
      },
      ...{ partsBefore: decodeParts(shapes, plan.mambas[Math.max(0, i - 1)]!), bcParts: bcParts(shapes, m) },
    };
    const encodings = {
      ...{ inProj: encoding(inProj.weight), xProj: encoding(xProj) },
      ...{ dtProj: encoding(dtProj.weight), outProj: encoding(outProj.weight) },
    };
    sources[`halves${i}`] = halvesSource(halves, encodings, variants);
    sources[`scan${i}`] = scanSource(state);
    for (const name of [inProj.weight, xProj, dtProj.weight, outProj.weight]) used.add(encoding(name));
  });
  for (const e of used) sources[`gemm ${e}`] = gemmSource(e, shapes.gemm, variants.half);
  const made = await pipelines.make(sources);
  const blocks = (name: string): Kernel[] => plan.mambas.map((_, i) => made[`${name}${i}`]!);
  return {
    shapes,
    variants,
    embed: made.embed!,
    fold: made.fold!,
    conv: made.conv!,
    gather: made.gather!,
    score: made.score!,
    choose: made.choose!,
    draw: made.draw!,
    logits: made.logits!,
    gemm: new Map([...used].map((e) => [e, made[`gemm ${e}`]!])),
    halves: blocks("halves"),
    scan: blocks("scan"),
  };
}
