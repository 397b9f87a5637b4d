import { cpus } from "node:os";
import { chat } from "./bench/chat.ts";
import { coldStart } from "./bench/cold-start.ts";
import { contextLength } from "./bench/context-length.ts";
import { costs } from "./bench/costs.ts";
import { examples } from "./bench/examples.ts";
import { formats } from "./bench/formats.ts";
import { imagePeers } from "./bench/image-peers.ts";
import { images } from "./bench/images.ts";
import { madd } from "./bench/madd.ts";
import { peers } from "./bench/peers.ts";
import { served } from "./bench/served.ts";
import { snapshots } from "./bench/snapshots.ts";
import { throughput } from "./bench/throughput.ts";
import { runCommand, UsageError } from "./lib/cli.ts";
import { type Row, table } from "./lib/table.ts";

const help = `npm run bench [-- --only PART --peers --json]

Measures on this machine, one thread, with everything that is compared measured in turns in one run:

throughput  decode and prefill in tokens/s, f32, q8 and q4, of the built-in model and of a mamba-130m shape with random weights; the bytes of
            weights that decoding reads over what a plain read of the same memory reads; relaxed against baseline SIMD
madd        what it costs to do without relaxed_madd, whose bits differ between hosts
served      tokens a second of one stream and of four over HTTP, in the local edge runtime, beside decoding alone in Node
cold-start  from nothing to the first token: in Node with its parts, and of the Worker in the local edge runtime
snapshots   bytes, and milliseconds to take, encode, decode and restore
context     decode speed after 0, 1,000, 10,000 and 100,000 tokens
chat        milliseconds to the first token in turns 2 and 20 of a chat that is sent again in full, with states kept and without, in the
            local edge runtime
costs       CPU time of a token, and what Cloudflare asks for a million of them and for a session kept for a month
formats     milliseconds a token to find which tokens a format allows, beside the model's pass
examples    milliseconds of one more example in a session of in-context learning, beside sending all again, in the local edge runtime
images      one image through VMamba-T's shape with random weights, q8 and f32: multiply-adds a second, over those of the fastest bare
            product of its matrices

--only   one of the parts
--peers  instead: the same random weights in llama.cpp and wllama, one thread each, in turns with ours; with --only images the
         convolutions and projections of VMamba-T's shape in onnxruntime-web. The first time, it installs them into dist/peers
--json   one JSON object instead of tables
`;

const parts: Readonly<Record<string, () => Promise<Row[]>>> = {
  throughput,
  madd,
  served,
  "cold-start": coldStart,
  snapshots,
  context: contextLength,
  chat,
  costs,
  formats,
  examples,
  images,
};

/** @throws UsageError on a part that has no peers */
function peersOf(only: unknown): Readonly<Record<string, () => Promise<Row[]>>> {
  if (only === undefined) return { peers };
  if (only === "images") return { images: imagePeers };
  throw new UsageError(`--peers is of language models, or of images with --only images; there are none of "${only}"`);
}

await runCommand({
  help,
  options: { only: { type: "string" }, peers: { type: "boolean" }, json: { type: "boolean" } },
  positionals: { min: 0, max: 0 },
  async run(_, { only, peers: withPeers, json }) {
    if (only !== undefined && !(String(only) in parts)) {
      throw new UsageError(`--only must be one of ${Object.keys(parts).join(", ")}, is "${only}"`);
    }
    const machine = `${cpus()[0]?.model ?? "unknown processor"}, Node ${process.version}, one thread`;
    const result: Record<string, Row[]> = {};
    if (json !== true) process.stdout.write(`${machine}\n`);
    for (const [name, part] of Object.entries(withPeers === true ? peersOf(only) : parts)) {
      if (only !== undefined && withPeers !== true && name !== only) continue;
      process.stderr.write(`${name} …\n`);
      result[name] = await part();
      if (json !== true) process.stdout.write(`\n${name}\n${table(result[name])}`);
    }
    if (json === true) process.stdout.write(`${JSON.stringify({ machine, ...result })}\n`);
  },
});
