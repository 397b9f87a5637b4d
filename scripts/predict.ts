import { z } from "zod";
import type { Model } from "../worker/engine/model.ts";
import { Sequence } from "../worker/engine/sequence.ts";
import { choice, runCommand, UsageError } from "./lib/cli.ts";
import { BACKENDS, closeBackend, openBackend, openModel, QUANTIZATIONS } from "./lib/open-model.ts";
import { ImagesInput, predictImages } from "./lib/predict-images.ts";
import { InContextInput, predictInContext, predictVectors, VectorsInput } from "./lib/predict-in-context.ts";

const help = `npm run --silent predict -- DIR [--backend reference|wasm|webgpu] [--quant f32|q8|q4]

Computes what a golden.json holds: reads it on stdin (expected outputs may be absent, they are ignored) and writes the same shape with
computed outputs on stdout.

DIR        a package, a checkpoint folder, or a checkpoint file beside its config.json
--backend  wasm (default), reference, or webgpu: headless Chromium of the npm package @sparticuz/chromium, on the CPU (SwiftShader)
--quant    f32, q8 or q4; default f32 for a checkpoint, a package's own for a package

causal-lm: prompts[].tokens → last_logits (after the last token), greedy (the next 12 tokens), mean_nll (natural log, over the tokens after the
first; null for one token). The tokens given are all that is fed.
in-context-learning: cases[].xs and ys → predictions, the i-th from x1, y1 … xi.
image-classification: cases[].shape [height, width] and pixels_chw (already normalized) → logits.
vectors: cases[].vectors → outputs after each, of the same models.
`;

/** Tokens that the greedy continuation has. */
const GREEDY = 12;

const TextInput = z.looseObject({
  kind: z.literal("causal-lm").optional(),
  prompts: z.array(z.looseObject({ tokens: z.array(z.number().int().min(0)).min(1) })),
});
const Input = z.discriminatedUnion("kind", [TextInput, InContextInput, VectorsInput, ImagesInput]);

await runCommand({
  help,
  options: { backend: { type: "string" }, quant: { type: "string" } },
  positionals: { min: 1, max: 1 },
  async run([path = ""], values) {
    const name = choice("backend", values.backend, BACKENDS, "wasm");
    const quantization = values.quant === undefined ? undefined : choice("quant", values.quant, QUANTIZATIONS, "f32");
    const input = Input.safeParse(parseJson(await readStdin()));
    if (!input.success) throw new UsageError(`stdin is not of golden.json's shape:\n${z.prettifyError(input.error)}`);
    const backend = await openBackend(name);
    try {
      const model = await openModel(path, { backend, quantization });
      const source = `mamba-edge, ${name}`;
      const takes = model.manifest.image
        ? ["image-classification"]
        : model.inputs > 0
          ? ["in-context-learning", "vectors"]
          : ["causal-lm"];
      const { kind = "causal-lm" } = input.data;
      if (!takes.includes(kind))
        throw new UsageError(`stdin is of kind ${kind}, the model in ${path} is for ${takes.join(" or ")}`);
      if (input.data.kind === "image-classification") {
        process.stdout.write(`${JSON.stringify({ kind, source, cases: await predictImages(model, input.data) })}\n`);
        return;
      }
      if (input.data.kind === "in-context-learning" || input.data.kind === "vectors") {
        const { data } = input;
        const cases = data.kind === "vectors" ? await predictVectors(model, data) : await predictInContext(model, data);
        process.stdout.write(`${JSON.stringify({ kind, source, cases })}\n`);
        return;
      }
      const prompts = [];
      for (const [i, { tokens }] of input.data.prompts.entries()) {
        const bad = tokens.find((t) => t >= model.vocab);
        if (bad !== undefined)
          throw new UsageError(`prompt ${i} holds token ${bad}, the vocabulary ends at ${model.vocab - 1}`);
        prompts.push({ tokens, ...(await predict(model, tokens)) });
      }
      process.stdout.write(`${JSON.stringify({ kind, source, prompts })}\n`);
    } finally {
      await closeBackend(backend);
    }
  },
});

interface Prediction {
  readonly last_logits: number[];
  readonly greedy: number[];
  readonly mean_nll: number | null;
}

async function predict(model: Model, tokens: readonly number[]): Promise<Prediction> {
  const sequence = new Sequence(model);
  try {
    const known = tokens.length - 1;
    const { logProbs } = await sequence.feed(tokens.slice(0, known), { targets: tokens.slice(1) });
    let { logits } = await sequence.feed(tokens.slice(known), { logits: true });
    const last = Array.from(logits);
    const greedy: number[] = [];
    while (greedy.length < GREEDY) {
      greedy.push(logits.indexOf(Math.max(...logits)));
      if (greedy.length < GREEDY) ({ logits } = await sequence.feed(greedy.slice(-1), { logits: true }));
    }
    return { last_logits: last, greedy, mean_nll: known === 0 ? null : -logProbs.reduce((a, b) => a + b, 0) / known };
  } finally {
    sequence.dispose();
  }
}

async function readStdin(): Promise<string> {
  process.stdin.setEncoding("utf8");
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  return text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`stdin is not JSON: ${(error as Error).message}`);
  }
}
