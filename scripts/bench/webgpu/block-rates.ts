import type { Encoding, Executable, ImageInput } from "../../../kernels/backend.ts";
import { multiplyAdds } from "../../../kernels/blocks.ts";
import { imageSizes } from "../../../kernels/image-blocks.ts";
import type { WebGpuBackend } from "../../../kernels/webgpu/index.ts";
import { blocksOf } from "../../../worker/engine/architectures/index.ts";
import { median } from "../../lib/measure.ts";
import { VMAMBA_T } from "../../lib/random-model.ts";
import { modelOf } from "./block-models.ts";
import { compileModel, randomNumbers } from "./models.ts";

/** How fast models are that run block by block. */

type Say = (text: string) => void;

/** Says where the time of some work goes, where the device tells. */
export type Profile = (name: string, executable: Executable, work: () => Promise<unknown>) => Promise<void>;

const ROUNDS = 7;
/** Smaller, for trying the program itself on a software adapter. */
const SMALL_STUDY = { layers: 2, dim: 32, inner: 64, hidden: 64, dtRank: 2 };
const SMALL_VISION = {
  ...VMAMBA_T,
  classes: 5,
  dims: "16 32",
  depths: "1 1",
  inners: "16 32",
  dtRanks: "1 2",
  hiddens: "32 64",
};
/** The in-context-learning study's models: 12 layers of width 256, 101 examples of 20 numbers. */
const STUDY = {
  ...{ layers: 12, inputs: 20, outputs: 1, dim: 256, positions: 202, learnedPositions: false, heads: 8, hidden: 1024 },
  ...{ inner: 512, state: 16, conv: 4, dtRank: 16, eps: 1e-5 },
};
const STACKS = {
  "GPT-2": "attention mlp",
  Mamba: "mamba mamba",
  S4D: "s4d s4d",
  "S4-Mamba": "s4-mamba s4-mamba",
  MambaFormer: "mamba attention",
} as const;

/** Milliseconds: the median of some rounds after one that warms up. */
async function milliseconds(rounds: number, work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i <= rounds; i++) {
    const start = performance.now();
    await work();
    if (i > 0) times.push(performance.now() - start);
  }
  return median(times);
}

/** A prompt of all examples in one pass, and one more vector on its own, of each architecture of the study. */
export async function studyRates(backend: WebGpuBackend, say: Say, small = false, profile?: Profile): Promise<void> {
  const study = { ...STUDY, ...(small && SMALL_STUDY) };
  const rounds = small ? 1 : ROUNDS;
  for (const [name, pair] of Object.entries(STACKS)) {
    const sizes = {
      ...study,
      layers: Array(study.layers / 2)
        .fill(pair)
        .join(" "),
    };
    const executable = await compileModel(
      backend,
      modelOf(blocksOf("in-context", sizes), () => "f32"),
    );
    const state = executable.createState();
    const vectors = Float32Array.from({ length: study.positions * study.inputs }, randomNumbers(1));
    const feed = (values: Float32Array) =>
      executable.run([{ state, tokens: [], vectors: values, logits: "last" }]).read();
    const prompt = await milliseconds(rounds, () => {
      state.reset();
      return feed(vectors);
    });
    state.reset();
    await feed(vectors.subarray(0, (study.positions - rounds - 2) * study.inputs));
    const step = await milliseconds(rounds, () => feed(vectors.subarray(0, study.inputs)));
    say(
      `${name}, ${study.layers} layers of ${study.dim}: ${study.positions} vectors ${prompt.toFixed(2)} ms, one ${step.toFixed(2)} ms`,
    );
    await profile?.(`${name}, one vector`, executable, () => feed(vectors.subarray(0, study.inputs)));
    state.reset();
    await profile?.(`${name}, prompt`, executable, () => feed(vectors));
    executable.dispose();
  }
}

/** VMamba-T (s1l8) at 224 × 224 with random weights, alone and in a batch of 8. */
export async function visionRates(
  backend: WebGpuBackend,
  say: Say,
  encoding: Encoding,
  small = false,
  profile?: Profile,
): Promise<void> {
  const [sizes, side, rounds] = small ? [SMALL_VISION, 32, 1] : [VMAMBA_T, 224, ROUNDS];
  const model = modelOf(blocksOf("vmamba", sizes), () => encoding);
  const executable = await compileModel(backend, model, { maxImage: { height: side, width: side } });
  const pixels = Float32Array.from({ length: 3 * side * side }, randomNumbers(2));
  const image: ImageInput = { height: side, width: side, pixels };
  for (const count of [1, 8]) {
    const ms = await milliseconds(rounds, () => see(executable, Array<ImageInput>(count).fill(image)));
    const rate = ((1000 * count) / ms).toFixed(1);
    const gmacs = ((count * multiplyAddsOf(executable, image)) / ms / 1e6).toFixed(1);
    say(
      `VMamba of ${sizes.dims}, ${encoding}, ${side} × ${side}, ${count} together: ${rate} images/s, ${gmacs} GMAC/s`,
    );
  }
  await profile?.(`VMamba, ${encoding}`, executable, () => see(executable, [image]));
  executable.dispose();
}

function see(executable: Executable, images: readonly ImageInput[]): Promise<unknown> {
  const pass = executable.images!.begin(images);
  pass.advance();
  return pass.read();
}

function multiplyAddsOf({ blocks }: Executable, image: ImageInput): number {
  const sizes = imageSizes(blocks, image);
  return blocks.reduce((sum, block, i) => {
    const { height, width } = sizes[i + 1]!;
    return sum + multiplyAdds(block) * height * width;
  }, 0);
}
