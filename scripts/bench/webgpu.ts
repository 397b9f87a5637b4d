import { dirname } from "node:path";
import { create, globals } from "webgpu";
import type { Encoding, Executable, TensorSpec } from "../../kernels/backend.ts";
import { createReferenceBackend } from "../../kernels/reference/index.ts";
import {
  createWebGpuBackend,
  describeChoice,
  offeredVariants,
  TRIED,
  tune,
  type WebGpuExecutable,
  type WebGpuOptions,
} from "../../kernels/webgpu/index.ts";
import { readManifest } from "../../weights/loader.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { blocksOf } from "../../worker/engine/architectures/index.ts";
import { checkBlocks } from "./webgpu/block-checks.ts";
import { type Profile, studyRates, visionRates } from "./webgpu/block-rates.ts";
import { checkShape, PACKED, type Report, reporter, SHAPES } from "./webgpu/checks.ts";
import { dispatchCost } from "./webgpu/dispatches.ts";
import {
  compileModel,
  distance,
  MAMBA_130M,
  quickModel,
  type RandomModel,
  randomTokens,
  tensorsOf,
} from "./webgpu/models.ts";
import {
  type KernelTime,
  type Overlap,
  profileDecode,
  profileOverlap,
  profilePass,
  profileWork,
} from "./webgpu/profile.ts";
import { decodeRate, logitsRate, prefillRate } from "./webgpu/rates.ts";

/**
 * Dawn for Node on a real GPU: checks every kernel against the reference, then measures. A bundle of one file, see kernels/webgpu/README.md:
 *
 * node webgpu.mjs [--smoke | --blocks] [--speed] [--small] [--sweep] [manifest.msgpack]
 *
 * --smoke ends after the first checks and one measurement, in seconds. --blocks leaves out all but the models that run block by block.
 * --speed leaves out the checks and the other encodings. --small takes a small model for trying the program itself on a software
 * adapter. --sweep compares workgroup shapes: both halves of a decode in q8, then the product of many tokens. A manifest adds a model of
 * its sizes, with random weights.
 */
const flags = new Set(process.argv.slice(2).filter((a) => a.startsWith("--")));
const manifestFile = process.argv.slice(2).find((a) => !a.startsWith("--"));
const small = flags.has("--small");
const start = performance.now();
const say = (text: string): void => {
  process.stdout.write(`[${((performance.now() - start) / 1000).toFixed(1)}] ${text}\n`);
};
let failures = 0;
const report: Report = ({ name, error, limit, ok }) => {
  if (!ok) failures++;
  say(`${ok ? "ok  " : "FAIL"} ${name}: ${error.toExponential(1)} (at most ${limit.toExponential(0)})`);
};

Object.assign(globalThis, globals);
const options = process.argv.slice(2).flatMap((a) => (a.startsWith("--dawn=") ? [a.slice("--dawn=".length)] : []));
const gpu = create(["disable-dawn-features=timestamp_quantization", ...options]);
// What create() returns must stay reachable, or the process crashes.
Object.assign(globalThis, { gpu });
const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
if (adapter === null) throw new Error("there is no adapter: is the driver's Vulkan ICD found?");
const { vendor, architecture, description } = adapter.info;
say(`${vendor} ${architecture} ${description}; features ${[...adapter.features].join(" ")}`);
const features = (["timestamp-query", "subgroups", "shader-f16"] as const).filter((f) => adapter.features.has(f));
const device = await adapter.requestDevice({ requiredFeatures: features });
device.addEventListener("uncapturederror", (event) => {
  failures++;
  say(`FAIL the device says: ${(event as GPUUncapturedErrorEvent).error.message}`);
});

const sizes = small ? { ...MAMBA_130M, layers: 2, vocab: 1000 } : MAMBA_130M;
const prompt = small ? 96 : 512;
const tokens = small ? 16 : 256;

await section("kernels, f32", () => checkShape(createWebGpuBackend(device), 0, report));
if (flags.has("--blocks")) {
  await blockByBlock();
} else if (flags.has("--smoke")) {
  await section("q8", async () => rates("q8", await build("q8", {})));
} else {
  await section("dispatches that do next to nothing", floor);
  if (!flags.has("--speed")) await everything();
  else await section("mamba-130m shape, q8", async () => rates("q8", await build("q8", {})));
  if (manifestFile !== undefined) await section(manifestFile, () => packageRates(manifestFile));
  if (flags.has("--sweep")) await sweep();
}
say(failures === 0 ? "all checks passed" : `${failures} checks FAILED`);
process.exit(failures === 0 ? 0 : 1);

async function everything(): Promise<void> {
  for (let i = 1; i < SHAPES.length; i++) {
    await section(SHAPES[i]![0], () => checkShape(createWebGpuBackend(device), i, report));
  }
  const variants = offeredVariants(device, gpu.wgslLanguageFeatures);
  say(`variants offered: ${JSON.stringify(variants)}`);
  for (const [i, [name]] of SHAPES.entries()) {
    await section(`${name}, variants`, () =>
      checkShape(createWebGpuBackend(device, { variants }), i, report, 37, PACKED),
    );
  }
  for (const encoding of ["q8", "q4", "f32"] as const) {
    await section(`mamba-130m shape, ${encoding}`, async () => rates(encoding, await build(encoding, {})));
  }
  await section("mamba-130m shape, f32, beside the reference", checkLogits);
  await blockByBlock();
}

/** The models that have no fused kernels. */
async function blockByBlock(): Promise<void> {
  const backend = createWebGpuBackend(device);
  const times: Profile = async (name, executable, work) =>
    table(name, await profileWork(device, executable as Executable & { profiler: undefined }, work));
  const profile = device.features.has("timestamp-query") ? times : undefined;
  await section("block by block", () => checkBlocks(backend, report));
  await section("in-context learning", () => studyRates(backend, say, small, profile));
  for (const encoding of ["q8", "f32"] as const) {
    await section(`images, ${encoding}`, () => visionRates(backend, say, encoding, small, profile));
  }
}

async function floor(): Promise<void> {
  for (const [bindings, groups, together] of [
    [1, 1, 1],
    [4, 1, 1],
    [8, 2, 1],
  ] as const) {
    const cost = await dispatchCost(device, 52, bindings, groups, together);
    const { record, finish, submit, all, busy } = cost;
    const [r, f, s, a, b] = [record, finish, submit, all, busy].map((us) => us.toFixed(2));
    say(
      `${bindings} bindings in ${groups} groups, 52 dispatches in a pass, ${together} passes a submission: µs a dispatch: ${r} to record, ${f} to finish, ${s} to submit, ${a} in all; GPU ${b}`,
    );
  }
}

async function sweep(): Promise<void> {
  for (const rows of [16, 32, 64] as const) {
    for (const channels of [16, 32, 64, 128] as const) {
      await section(`decode of ${rows} rows, then ${channels} channels a workgroup`, async () => {
        const { executable } = await build("q8", { shapes: { rows, channels } });
        const { tokensPerSecond, launchMicroseconds } = await decodeRate(executable, tokens, 4);
        say(`decode: ${tokensPerSecond.toFixed(0)} tok/s, ${launchMicroseconds.toFixed(0)} µs to launch`);
        say(`decode, µs a token: ${inWords(await profileOverlap(device, executable, tokens, 4))}`);
        executable.dispose();
      });
    }
  }
  for (const gemm of [
    { tokens: 4, quads: 1 },
    { tokens: 4, quads: 2 },
    { tokens: 8, quads: 2 },
  ] as const) {
    await section(`products of ${gemm.tokens} × ${4 * gemm.quads} a thread`, async () => {
      const { executable } = await build("q8", { shapes: { gemm } });
      say(`prefill of ${prompt}: ${(await prefillRate(executable, sizes.vocab, prompt)).toFixed(0)} tok/s`);
      executable.dispose();
    });
  }
}

async function section(name: string, work: () => Promise<void>): Promise<void> {
  say(`== ${name}`);
  try {
    await work();
  } catch (error) {
    failures++;
    say(`FAIL ${name}: ${(error as Error).stack}`);
  }
}

/** Whose executables have the fused kernels. */
function fusedBackend(options?: WebGpuOptions) {
  const backend = createWebGpuBackend(device, options);
  return { ...backend, compile: backend.compileFused };
}

async function build(
  encoding: Encoding,
  options: WebGpuOptions,
): Promise<{ executable: WebGpuExecutable; model: RandomModel }> {
  const { blocks, tensors } = tensorsOf(sizes, encoding);
  const model = quickModel(blocks, tensors);
  const before = performance.now();
  const executable = await compileModel(fusedBackend(options), model, { maxTokens: prompt });
  say(`compiled and loaded in ${(performance.now() - before).toFixed(0)} ms`);
  return { executable, model };
}

async function rates(
  name: string,
  { executable }: { executable: WebGpuExecutable },
  vocab = sizes.vocab,
): Promise<void> {
  for (const behind of [1, 4]) {
    const { tokensPerSecond, dispatches, launchMicroseconds } = await decodeRate(executable, tokens, behind);
    say(
      `${name} decode, host ${behind} behind: ${tokensPerSecond.toFixed(0)} tok/s, ${dispatches} dispatches a token, ${launchMicroseconds.toFixed(0)} µs to launch`,
    );
  }
  say(`${name} decode, µs a token: ${inWords(await profileOverlap(device, executable, tokens, 4))}`);
  say(`${name} prefill of ${prompt}: ${(await prefillRate(executable, vocab, prompt)).toFixed(0)} tok/s`);
  for (const [how, topK, topP] of [
    ["top 40", 40, 0.95],
    ["top_p 0.95", 0, 0.95],
    ["whole vocabulary", 0, 1],
  ] as const) {
    const sampling = { temperature: 0.8, topK, topP, minP: 0, seed: 1, position: 0 };
    const sampled = await decodeRate(executable, tokens, 4, sampling);
    say(`${name} decode, ${how}: ${sampled.tokensPerSecond.toFixed(0)} tok/s`);
  }
  say(`${name} decode, logits to the host: ${(await logitsRate(executable, tokens / 4)).toFixed(0)} tok/s`);
  const offered = offeredVariants(device, gpu.wgslLanguageFeatures);
  const tuning = await tune(executable, offered, small ? [] : TRIED);
  say(
    `${name} tuning: ${tuning.notes.join("; ") || "nothing offered"}; kept: ${describeChoice(tuning) || "the defaults"}`,
  );
  say(`${name} decode, tuned, µs a token: ${inWords(await profileOverlap(device, executable, tokens, 4))}`);
  say(`${name} decode, tuned: ${(await decodeRate(executable, tokens, 4)).tokensPerSecond.toFixed(0)} tok/s`);
  say(`${name} prefill of ${prompt}, tuned: ${(await prefillRate(executable, vocab, prompt)).toFixed(0)} tok/s`);
  if (device.features.has("timestamp-query")) {
    table(`${name} decode`, await profileDecode(device, executable));
    const span = { state: executable.createState(), tokens: randomTokens(prompt, vocab), logits: "last" } as const;
    await profilePass(device, executable, span);
    table(`${name} prefill`, await profilePass(device, executable, span));
  }
  executable.dispose();
}

function inWords({ record, finish, submit, busy, idle }: Overlap): string {
  const [r, f, s, b, i] = [record, finish, submit, busy, idle].map((us) => us.toFixed(0));
  return `host ${r} to record, ${f} to finish, ${s} to submit; GPU ${b} busy, ${i} idle`;
}

function table(name: string, times: readonly KernelTime[]): void {
  for (const { label, count, microseconds, least } of times) {
    say(`  ${name}: ${label} ${count}×, ${microseconds.toFixed(1)} µs in all, ${least.toFixed(1)} at least`);
  }
}

/** Logits of a few tokens against the reference, then those of a whole prompt in one pass against the same prompt step by step. */
async function checkLogits(): Promise<void> {
  const { executable, model } = await build("f32", {});
  const reference = await compileModel(createReferenceBackend(), model);
  const check = reporter(report);
  const ids = randomTokens(prompt, sizes.vocab, 3);
  const begin = ids.slice(0, 24);
  const expected = await reference.run([{ state: reference.createState(), tokens: begin, logits: "last" }]).read();
  const [whole, steps] = [executable.createState(), executable.createState()];
  const [got] = await executable.run([{ state: whole, tokens: begin, logits: "last" }]).read();
  check("24 tokens in one pass", distance(got!.logits, expected[0]!.logits), 1e-4);
  let last = got!;
  for (const id of begin)
    [last] = (await executable.run([{ state: steps, tokens: [id], logits: "last" }]).read()) as [typeof last];
  check("24 tokens step by step", distance(last.logits, expected[0]!.logits), 1e-4);
  whole.reset();
  steps.reset();
  const [all] = await executable.run([{ state: whole, tokens: ids, logits: "last" }]).read();
  for (const id of ids)
    [last] = (await executable.run([{ state: steps, tokens: [id], logits: "last" }]).read()) as [typeof last];
  check(`${prompt} tokens in one pass against step by step`, distance(all!.logits, last.logits), 1e-4);
  executable.dispose();
}

async function packageRates(file: string): Promise<void> {
  const manifest = await readManifest(folderSource(dirname(file)));
  const blocks = blocksOf(manifest.architecture, manifest.hyperparameters);
  const specs = new Map<string, TensorSpec>(manifest.tensors.map((t) => [t.name, t]));
  const model = quickModel(blocks, specs);
  const executable = await compileModel(fusedBackend(), model, { maxTokens: prompt });
  const vocab = blocks.find((b) => b.kind === "embedding")?.vocab ?? 0;
  await rates(manifest.id, { executable }, vocab);
}
