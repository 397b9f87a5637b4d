import { SCANS } from "../../../kernels/image-blocks.ts";
import type { CheckpointTensors } from "../../../weights/checkpoint.ts";
import { ModelError } from "../errors.ts";
import type { VmambaSizes } from "./vmamba.ts";
import { VmambaKeys } from "./vmamba-keys.ts";

/** The sizes of a checkpoint of the official repository. */

type Settings = Readonly<Record<string, unknown>>;

/** @throws ModelError when config.json says other than the tensors, or asks for what is not computed here */
export function readVmamba(config: Settings, tensors: CheckpointTensors): VmambaSizes {
  const keys = new VmambaKeys(tensors);
  const size = (name: string, axis: number): number => keys.shape(name)[axis] ?? 0;
  const count = (pattern: RegExp): number =>
    1 + Math.max(-1, ...keys.names().map((n) => Number(pattern.exec(n)?.[1] ?? -1)));
  const stages = Array.from({ length: count(/^layers\.(\d+)\.blocks\./) }, (_, s) => `layers.${s}.blocks`);
  const list = (value: (blocks: string, stage: number) => number): number[] => stages.map(value);
  const dims = list((b) => size(`${b}.0.norm.weight`, 0));
  const inners = list((b) => size(`${b}.0.op.out_norm.weight`, 0));
  const state = size("layers.0.blocks.0.op.A_logs", 1);
  const dtRanks = list((b) => {
    const shape = keys.shape(`${b}.0.op.x_proj.weight`);
    return shape.slice(0, -1).reduce((a, n) => a * n, 1) / SCANS - 2 * state;
  });
  const gated = size("layers.0.blocks.0.op.in_proj.weight", 0) === 2 * inners[0]!;
  const stem = keys.shape("patch_embed.0.weight")[2] === 4 ? "patch" : "conv";
  const hasMlp = keys.has("layers.0.blocks.0.mlp.fc1.weight");
  const sizes: VmambaSizes = {
    channels: size("patch_embed.0.weight", 1),
    classes: size("classifier.head.weight", 0),
    dims: dims.join(" "),
    depths: list((_, s) => count(new RegExp(`^layers\\.${s}\\.blocks\\.(\\d+)\\.`))).join(" "),
    inners: inners.join(" "),
    dtRanks: dtRanks.join(" "),
    ...(hasMlp && { hiddens: list((b) => size(`${b}.0.mlp.fc1.weight`, 0)).join(" ") }),
    state,
    gated,
    convBias: keys.has("layers.0.blocks.0.op.conv2d.bias"),
    stem,
    eps: 1e-5,
  };
  checkConfig(config, sizes, dims[0]!);
  return sizes;
}

function checkConfig(config: Settings, sizes: VmambaSizes, dim: number): void {
  const stated: [string, unknown, unknown][] = [
    ["num_classes", config.num_classes, sizes.classes],
    ["in_chans", config.in_chans, sizes.channels],
    ["ssm_d_state", config.ssm_d_state, sizes.state],
    ["ssm_conv_bias", config.ssm_conv_bias, sizes.convBias],
    ["depths", Array.isArray(config.depths) ? config.depths.join(" ") : undefined, sizes.depths],
    ["dims", Array.isArray(config.dims) ? config.dims.join(" ") : undefined, sizes.dims],
    ["dims", typeof config.dims === "number" ? config.dims : undefined, dim],
  ];
  for (const [key, value, seen] of stated) {
    if (value === undefined || value === seen) continue;
    throw new ModelError(`config.json says ${key} = ${value}, the tensors say ${seen}: the two do not belong together`);
  }
  const only: [string, readonly unknown[]][] = [
    ["ssm_act_layer", ["silu"]],
    ["mlp_act_layer", ["gelu"]],
    ["ssm_conv", [3]],
    ["patch_norm", [true]],
    ["posembed", [false]],
    ["gmlp", [false]],
    ["forward_type", ["v0", "v0seq", "v05", "v05_noz"]],
    ["norm_layer", ["ln", "ln2d"]],
    ["patchembed_version", ["v1", "v2"]],
    ["downsample_version", ["v1", "v3"]],
  ];
  for (const [key, allowed] of only) {
    if (config[key] === undefined || allowed.includes(config[key])) continue;
    throw new ModelError(
      `config.json says ${key} = ${JSON.stringify(config[key])}; VMamba here computes ${allowed.map((v) => JSON.stringify(v)).join(" or ")} only`,
    );
  }
}
