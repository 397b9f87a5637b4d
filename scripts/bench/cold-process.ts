import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadWasmModules } from "../../kernels/wasm/node.ts";
import { PackageLoad } from "../../weights/loader.ts";
import { folderSource } from "../../weights/node/folder.ts";
import { type BegunLoad, beginLoad } from "../../worker/engine/begun-load.ts";
import { Model } from "../../worker/engine/model.ts";
import { Sequence } from "../../worker/engine/sequence.ts";
import { seconds } from "../lib/measure.ts";

/**
 * One cold start, in a process of its own because V8 keeps compiled WebAssembly: `node scripts/bench/cold-process.ts PACKAGE`.
 * Prints seconds as JSON: the parts, all of them, and then what cannot be avoided, alone.
 */

const PROMPT = 512;
const TEXT =
  "Once upon a time there was a king who had three sons. The eldest was brave, the second was wise, and the youngest ";

const source = folderSource(process.argv[2] as string);
const start = performance.now();
let last = start;
const lap = (): number => {
  const before = last;
  last = performance.now();
  return (last - before) / 1000;
};

const ready = loadWasmModules().then((modules) => createWasmBackend(modules));
let placing = 0;
let load: BegunLoad | undefined;
const model = await Model.open(source, ready, {
  onPlaced(weights) {
    placing = lap();
    load = beginLoad(weights, source);
  },
});
const tokenizer = lap();
const text = model.requireTokenizer().encode(TEXT.repeat(40));
const tokens = [0, ...text.slice(0, PROMPT - 1)];
const tokenizing = lap();
let waiting = 0;
const more = async (): Promise<void> => {
  waiting += await seconds(async () => load?.more());
};
await new Sequence(model).feed(tokens, { logits: true, more });
const feed = lap();
const all = (last - start) / 1000;

const again = (): Promise<number> =>
  seconds(async () => void (await new Sequence(model).feed(tokens, { logits: true })));
await again();
const prompt = await again();
const stream = await seconds(async () => {
  for await (const _ of new PackageLoad(model.manifest, { load() {} }).lead(source));
});
process.stdout.write(
  JSON.stringify({ placing, tokenizer, tokenizing, waiting, computing: feed - waiting, all, stream, prompt }),
);
