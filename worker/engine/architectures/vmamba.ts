import type { Block, Linear, Norm } from "../../../kernels/blocks.ts";
import type { Conv2dBlock, Scan } from "../../../kernels/image-blocks.ts";
import { ModelError } from "../errors.ts";
import type { Architecture, Hyperparameters } from "./index.ts";
import { readVmamba } from "./vmamba-checkpoint.ts";
import { isVmamba } from "./vmamba-keys.ts";
import { vmambaTensors } from "./vmamba-tensors.ts";

/**
 * VMamba (Liu et al. 2024; MzeroMiko/VMamba) as it was first published (v0: 4 × 4 stem, gated, PatchMerging) and as v2 ("v05_noz": stem and
 * downsampling of 3 × 3 convolutions, an MLP behind every scan). Which a checkpoint is shows in its keys.
 */
export const vmamba: Architecture = {
  name: "vmamba",
  input: "images",
  detect: (_, tensors) => isVmamba(tensors),
  async fromCheckpoint(config, tensors) {
    const hyperparameters: Hyperparameters = { ...readVmamba(config, tensors) };
    return {
      architecture: vmamba.name,
      hyperparameters,
      tensors: vmambaTensors(tensors, blocks(hyperparameters), hyperparameters.stem === "patch"),
    };
  },
  blocks,
};

/** Lists are numbers with blanks between, one a stage. */
export interface VmambaSizes {
  /** of the images. */
  readonly channels: number;
  readonly classes: number;
  readonly dims: string;
  readonly depths: string;
  readonly inners: string;
  readonly dtRanks: string;
  /** of the MLPs; absent where there is none. */
  readonly hiddens?: string;
  readonly state: number;
  readonly gated: boolean;
  readonly convBias: boolean;
  /** patch: one convolution, kernel and stride 4; conv: two of 3 × 3, stride 2. */
  readonly stem: "patch" | "conv";
  readonly eps: number;
}

function blocks(h: Hyperparameters): Block[] {
  const { channels, classes, state, gated, convBias, stem, eps, ...lists } = check(h);
  const { dims, depths, inners, dtRanks, hiddens } = lists;
  const norm = (name: string): Norm => ({ type: "layer", weight: `${name}.weight`, bias: `${name}.bias`, eps });
  const linear = (name: string): Linear => ({ weight: `${name}.weight`, bias: `${name}.bias` });
  const conv = (name: string, inputs: number, dim: number, gelu: boolean): Conv2dBlock => ({
    kind: "conv2d",
    inputs,
    dim,
    ...(stem === "patch" ? { kernel: 4, stride: 4, padding: 0 } : { kernel: 3, stride: 2, padding: 1 }),
    conv: linear(`${name}.conv`),
    norm: norm(`${name}.norm`),
    gelu,
  });
  const first = dims[0]!;
  const list: Block[] =
    stem === "patch"
      ? [conv("stem", channels, first, false)]
      : [conv("stem.0", channels, first / 2, true), conv("stem.1", first / 2, first, false)];
  for (const [s, dim] of dims.entries()) {
    for (let i = 0; i < depths[s]!; i++) {
      const p = `stages.${s}.${i}`;
      const scan = (k: number): Scan => ({ dtProj: linear(`${p}.scans.${k}.dt_proj`), A: `${p}.scans.${k}.A` });
      list.push({
        kind: "ss2d",
        dim,
        inner: inners[s]!,
        state,
        dtRank: dtRanks[s]!,
        norm: norm(`${p}.norm`),
        gated,
        inProj: { weight: `${p}.in_proj.weight` },
        convWeight: `${p}.conv.weight`,
        ...(convBias && { convBias: `${p}.conv.bias` }),
        xProj: `${p}.x_proj.weight`,
        scans: [scan(0), scan(1), scan(2), scan(3)],
        D: `${p}.D`,
        outNorm: norm(`${p}.out_norm`),
        outProj: { weight: `${p}.out_proj.weight` },
      });
      if (hiddens === undefined) continue;
      const [up, down] = [linear(`${p}.mlp.up`), linear(`${p}.mlp.down`)];
      list.push({ kind: "mlp", dim, hidden: hiddens[s]!, gelu: "exact", norm: norm(`${p}.mlp.norm`), up, down });
    }
    const next = dims[s + 1];
    if (next === undefined) continue;
    const p = `stages.${s}.downsample`;
    if (stem === "conv") list.push(conv(p, dim, next, false));
    else
      list.push({
        kind: "patch-merge",
        inputs: dim,
        dim: next,
        norm: norm(`${p}.norm`),
        proj: { weight: `${p}.proj.weight` },
      });
  }
  const last = dims.at(-1)!;
  list.push({ kind: "norm", dim: last, norm: norm("norm_f") });
  list.push({ kind: "pool", dim: last });
  list.push({ kind: "head", vocab: classes, dim: last, proj: linear("head") });
  return list;
}

interface Checked extends Omit<VmambaSizes, "dims" | "depths" | "inners" | "dtRanks" | "hiddens"> {
  readonly dims: readonly number[];
  readonly depths: readonly number[];
  readonly inners: readonly number[];
  readonly dtRanks: readonly number[];
  readonly hiddens: readonly number[] | undefined;
}

function check(h: Hyperparameters): Checked {
  const wrong = (key: string, expected: string): ModelError =>
    new ModelError(`hyperparameter ${key} of a vmamba package must be ${expected}, is ${JSON.stringify(h[key])}`);
  const isSize = (v: unknown): v is number => typeof v === "number" && Number.isInteger(v) && v >= 1 && v <= 2 ** 20;
  const size = (key: string): number => {
    const v = h[key];
    if (!isSize(v)) throw wrong(key, "a whole number from 1 to 2^20");
    return v;
  };
  const list = (key: string, stages?: number): number[] => {
    const text = h[key];
    const numbers = typeof text === "string" ? text.split(" ").map(Number) : [];
    const fits = stages === undefined ? numbers.length >= 1 && numbers.length <= 16 : numbers.length === stages;
    if (!fits || !numbers.every(isSize)) throw wrong(key, `${stages ?? "1 to 16"} whole numbers, one a stage`);
    return numbers;
  };
  const flag = (key: string): boolean => {
    const v = h[key];
    if (typeof v !== "boolean") throw wrong(key, "true or false");
    return v;
  };
  const dims = list("dims");
  const { stem, eps } = h;
  if (stem !== "patch" && stem !== "conv") throw wrong("stem", '"patch" or "conv"');
  if (stem === "conv" && dims[0]! % 2 !== 0)
    throw wrong("dims", "even at first, where the stem is of two convolutions");
  if (typeof eps !== "number" || !(eps > 0 && eps < 1)) throw wrong("eps", "between 0 and 1");
  const depths = list("depths", dims.length);
  if (depths.some((d) => d > 1024)) throw wrong("depths", "at most 1024 each");
  return {
    channels: size("channels"),
    classes: size("classes"),
    state: size("state"),
    dims,
    depths,
    inners: list("inners", dims.length),
    dtRanks: list("dtRanks", dims.length),
    hiddens: h.hiddens === undefined ? undefined : list("hiddens", dims.length),
    gated: flag("gated"),
    convBias: flag("convBias"),
    stem,
    eps,
  };
}
