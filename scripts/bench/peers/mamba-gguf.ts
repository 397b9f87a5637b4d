import { tensorShapes } from "../../../kernels/blocks.ts";
import { blocksOf } from "../../../worker/engine/architectures/index.ts";
import { encodeGgml, type GgmlType } from "./ggml-types.ts";
import { type GgufValue, writeGguf } from "./gguf.ts";
import { randomValues } from "./random-values.ts";
import { vocabularyMetadata } from "./vocabulary.ts";

/** Sizes of a Mamba-1 whose head is its embedding. */
export interface MambaSizes {
  readonly vocab: number;
  readonly dim: number;
  readonly layers: number;
  /** llama.cpp knows 2 · dim only. */
  readonly inner: number;
  readonly state: number;
  readonly conv: number;
  readonly dtRank: number;
  readonly eps: number;
  readonly tied: true;
  readonly bias: false;
  readonly convBias: true;
}

/** Files as `llama-quantize` makes them, the last with its option of that name; F32 is not quantized. */
export type FileType = "F32" | "Q8_0" | "Q4_0" | "Q4_0 --pure";

/** `general.file_type`. */
const FILE_TYPE_IDS: Readonly<Record<FileType, number>> = { F32: 0, Q4_0: 2, "Q4_0 --pure": 2, Q8_0: 7 };

export interface MambaTensor {
  /** in the block list, and in the file. */
  readonly name: string;
  readonly ggufName: string;
  readonly shape: readonly number[];
  readonly type: GgmlType;
}

const GGUF_NAMES: readonly (readonly [RegExp, string])[] = [
  [/^embedding\.weight$/, "token_embd.weight"],
  [/^norm_f\.weight$/, "output_norm.weight"],
  [/^layers\.(\d+)\.norm\.weight$/, "blk.$1.attn_norm.weight"],
  [/^layers\.(\d+)\.in_proj\.weight$/, "blk.$1.ssm_in.weight"],
  [/^layers\.(\d+)\.conv\.(weight|bias)$/, "blk.$1.ssm_conv1d.$2"],
  [/^layers\.(\d+)\.x_proj\.weight$/, "blk.$1.ssm_x.weight"],
  [/^layers\.(\d+)\.dt_proj\.(weight|bias)$/, "blk.$1.ssm_dt.$2"],
  [/^layers\.(\d+)\.A$/, "blk.$1.ssm_a"],
  [/^layers\.(\d+)\.D$/, "blk.$1.ssm_d"],
  [/^layers\.(\d+)\.out_proj\.weight$/, "blk.$1.ssm_out.weight"],
];

/** The tensors of a file. */
export function mambaTensors(sizes: MambaSizes, fileType: FileType): MambaTensor[] {
  const shapes = new Map(blocksOf("mamba", { ...sizes }).flatMap((block) => [...tensorShapes(block)]));
  return [...shapes].map(([name, shape]) => {
    const rule = GGUF_NAMES.find(([pattern]) => pattern.test(name));
    if (rule === undefined) throw new RangeError(`llama.cpp's Mamba has no tensor "${name}"`);
    const ggufName = name.replace(...rule);
    return { name, ggufName, shape, type: quantizerChoice(ggufName, shape, fileType) };
  });
}

/**
 * What llama-quantize makes of a tensor of a Mamba with a tied head (src/llama-quant.cpp of v0.5.0): matrices named …weight except
 * norms and the convolution are quantized; an embedding that is also the head takes Q6_K in a Q4_0 file, unless all are to be alike
 * (--pure); rows that no block fits (dt_proj's 48) fall back to a smaller block and at last to F16.
 */
function quantizerChoice(ggufName: string, shape: readonly number[], fileType: FileType): GgmlType {
  const matrix = shape.length === 2 && ggufName.endsWith(".weight") && !ggufName.includes("ssm_conv1d");
  if (fileType === "F32" || !matrix) return "F32";
  const cols = shape[1]!;
  if (cols % 32 !== 0) return "F16";
  if (fileType === "Q4_0" && ggufName === "token_embd.weight") return cols % 256 === 0 ? "Q6_K" : "Q8_0";
  return fileType === "Q8_0" ? "Q8_0" : "Q4_0";
}

/** Writes a Mamba with `randomValues`. @returns bytes of its tensors */
export function writeMamba(path: string, sizes: MambaSizes, fileType: FileType): Promise<number> {
  const u32 = (value: number): GgufValue => ({ u32: value });
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", { string: "mamba" }],
    ["general.name", { string: `random mamba ${sizes.layers}x${sizes.dim}` }],
    ["general.file_type", u32(FILE_TYPE_IDS[fileType])],
    ["general.quantization_version", u32(2)],
    // Any context is as good as another: the state's size does not depend on it.
    ["mamba.context_length", u32(2 ** 20)],
    ["mamba.embedding_length", u32(sizes.dim)],
    // The two that a Mamba does not have are read all the same.
    ["mamba.feed_forward_length", u32(0)],
    ["mamba.attention.head_count", u32(0)],
    ["mamba.block_count", u32(sizes.layers)],
    ["mamba.ssm.conv_kernel", u32(sizes.conv)],
    ["mamba.ssm.inner_size", u32(sizes.inner)],
    ["mamba.ssm.state_size", u32(sizes.state)],
    ["mamba.ssm.time_step_rank", u32(sizes.dtRank)],
    ["mamba.ssm.dt_b_c_rms", { bool: false }],
    ["mamba.attention.layer_norm_rms_epsilon", { f32: sizes.eps }],
    ...vocabularyMetadata(sizes.vocab),
  ]);
  const tensors = mambaTensors(sizes, fileType).map(({ name, ggufName, shape, type }) => ({
    name: ggufName,
    shape,
    type,
    bytes: () => encodeGgml(type, randomValues(name, shape)),
  }));
  return writeGguf(path, metadata, tensors);
}
