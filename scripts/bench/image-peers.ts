import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { blocksOf } from "../../worker/engine/architectures/index.ts";
import { median, seconds } from "../lib/measure.ts";
import { randomModel, VMAMBA_T } from "../lib/random-model.ts";
import type { Row } from "../lib/table.ts";
import { randomImage, seeImages } from "./images.ts";
import {
  endsOf,
  type ImageProducts,
  imageProducts,
  multiplyAddsOf,
  type Product,
  randomInputs,
  randomWeights,
} from "./peers/image-products.ts";
import { installPeers, PEERS } from "./peers/install.ts";
import { type OrtProducts, openOrtProducts } from "./peers/onnxruntime.ts";
import { type OurProducts, openOurProducts } from "./peers/our-products.ts";
import { PeerError } from "./peers/peer.ts";

const SIDE = 224;
const ROUNDS = 9;
/** max|a − b| / max|b| of what both compute of the same weights: of f32, and of activations and weights rounded to int8 on both sides. */
const SAME = { f32: 1e-4, int8: 0.1 };

interface Entry {
  readonly what: string;
  readonly by: string;
  readonly weights: string;
  readonly multiplyAdds: number;
  readonly role: "ours" | "peer" | "whole";
  run(): void | Promise<void>;
  close?(): void | Promise<void>;
  readonly times: number[];
}

/**
 * The convolutions and projections of VMamba-T's shape, 224 × 224, on random weights: this project's kernels and onnxruntime-web in turns, and
 * beside them the whole network in this project (norms, scans, GELU and the steps' projections too).
 * @throws PeerError when the peer cannot be installed, or computes something else
 */
export async function imagePeers(): Promise<Row[]> {
  await installPeers(PEERS.images);
  const products = imageProducts(blocksOf("vmamba", VMAMBA_T), { height: SIDE, width: SIDE });
  const entries = await open(products);
  try {
    for (let round = -1; round < ROUNDS; round++) {
      for (const entry of entries) {
        const time = await seconds(() => entry.run());
        if (round >= 0) entry.times.push(time); // the first compiles
      }
    }
    return entries.map((entry) => rowOf(entry, entries));
  } finally {
    for (const { close } of entries) await close?.();
  }
}

async function open(products: ImageProducts): Promise<Entry[]> {
  const [weights, inputs] = [randomWeights(products), randomInputs(products)];
  const multiplyAdds = products.list.reduce((sum, product) => sum + multiplyAddsOf(product), 0);
  const what = "convolutions and projections";
  const entries: Entry[] = [];
  for (const [encoding, form] of [
    ["q8", "int8"],
    ["f32", "f32"],
  ] as const) {
    const ours = await openOurProducts(products, weights, inputs, encoding);
    const theirs = await openOrtProducts(products, weights, inputs, form);
    await compare(products, ours, theirs, SAME[form]);
    const shared = { what, multiplyAdds, times: [] };
    const by = `mamba-edge, ${ours.simd} SIMD`;
    entries.push({ ...shared, times: [], by, weights: encoding, role: "ours", run: () => ours.run() });
    entries.push({
      ...shared,
      times: [],
      by: theirs.name,
      weights: form,
      role: "peer",
      run: theirs.run,
      close: theirs.close,
    });
    entries.push(await wholeNetwork(encoding, by));
  }
  return entries;
}

async function wholeNetwork(encoding: "q8" | "f32", by: string): Promise<Entry> {
  const backend = await createWasmBackend(await loadWasmModules());
  const size = { maxImage: { height: SIDE, width: SIDE }, maxImages: 1 };
  const model = await randomModel(backend, "vmamba", VMAMBA_T, encoding, size);
  const image = randomImage(SIDE);
  const run = (): Promise<void> => seeImages(model, [image]);
  return {
    what: "the whole network",
    by,
    weights: encoding,
    multiplyAdds: 0,
    role: "whole",
    run,
    close: () => model.dispose(),
    times: [],
  };
}

/** Runs both once and compares what they give. @throws PeerError */
async function compare(products: ImageProducts, ours: OurProducts, theirs: OrtProducts, most: number): Promise<void> {
  ours.run();
  await theirs.run();
  for (const product of endsOf(products)) {
    const off = distance(ours.output(product), behind(product, theirs.output(product)));
    if (off <= most) continue;
    throw new PeerError(`${theirs.name} gives other values of ${product.name}: they differ by ${off} of the largest`);
  }
}

/** Ours ends a depthwise convolution with silu. */
function behind({ kind }: Product, values: Float32Array): Float32Array {
  return kind === "depthwise" ? values.map((v) => v / (1 + Math.exp(-v))) : values;
}

function distance(a: Float32Array, b: Float32Array): number {
  let [difference, largest] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i]! - b[i]!);
    if (!(d <= difference)) difference = d;
    largest = Math.max(largest, Math.abs(b[i]!));
  }
  return a.length === b.length ? difference / largest : Number.NaN;
}

function rowOf({ what, by, weights, multiplyAdds, role, times }: Entry, entries: readonly Entry[]): Row {
  const counterpart = (wanted: Entry["role"]): Entry =>
    entries.find((e) => e.role === wanted && (e.weights === "f32") === (weights === "f32"))!;
  const ratio = (ours: Entry): string => median(times.map((time, turn) => time / ours.times[turn]!)).toFixed(2);
  const isPeer = role === "peer";
  return {
    what,
    by,
    weights,
    ms: (1000 * median(times)).toFixed(0),
    "GMAC/s": multiplyAdds > 0 ? (multiplyAdds / median(times) / 1e9).toFixed(1) : "",
    "its time over ours": isPeer ? ratio(counterpart("ours")) : "",
    "its time over our whole network's": isPeer ? ratio(counterpart("whole")) : "",
  };
}
