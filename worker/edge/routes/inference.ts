import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { inputOf } from "../../engine/architectures/index.ts";
import type { Model } from "../../engine/model.ts";
import type { AdvanceOptions } from "../../engine/sequence.ts";
import { type AppEnv, type Limits, limitsOf } from "../env.ts";
import { inferPixels } from "../generation/infer-pixels.ts";
import { inferTokens, type TokenInference } from "../generation/infer-tokens.ts";
import { inferVectors } from "../generation/infer-vectors.ts";
import { badValue } from "../http/api-error.ts";
import { readJson } from "../http/body.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import type { CatalogEntry } from "../models/catalog.ts";
import { packageSource } from "../models/package-source.ts";
import { mostPromptTokens, promptTooLong } from "../models/request-budget.ts";
import { json } from "../schemas/common.ts";
import { PixelRequest } from "../schemas/infer-pixels.ts";
import { VectorRequest } from "../schemas/infer-vectors.ts";
import { InferError, InferModel, InferReply, InferRequest } from "../schemas/inference.ts";
import type { Services } from "../services.ts";

/** Most numbers in a reply: some 20 MB of JSON. */
const MOST_NUMBERS = 1_048_576;

/**
 * The Open Inference Protocol: logits and log-probabilities of tokens, the outputs of in-context models for vectors, or logits of images'
 * pixels. Nothing is added in front of them.
 *
 * @example
 * curl localhost:8787/v2/models/mamba-tiny/infer \
 *   -d '{"inputs":[{"name":"tokens","datatype":"INT32","shape":[1,3],"data":[0,11,42]}]}'
 */
export function inferenceRoutes({ catalog, pool }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  const errors = {
    401: json(InferError, "No API key, or a wrong one"),
    403: json(InferError, "A key that may not do this, or not from this page"),
    404: json(InferError, "No such model"),
    429: json(InferError, "More requests a minute than the key may send, or at a time than are served"),
  };
  const find = (c: Context<AppEnv>): Promise<CatalogEntry> => {
    const { name = "", version } = c.req.param() as { name?: string; version?: string };
    return catalog.find(c.env, version === undefined ? name : `${name}@${version}`);
  };
  // A version that is named is the one that answers; without one, the first package of the name does.
  for (const part of ["", "/versions/{version}"] as const) {
    const path = `/models/:name${part.replace("{version}", ":version")}`;
    const params = part === "" ? z.object({ name: z.string() }) : z.object({ name: z.string(), version: z.string() });
    app.openAPIRegistry.registerPath({
      method: "get",
      path: `/models/{name}${part}`,
      summary: "A model's tensors",
      request: { params },
      responses: { 200: json(InferModel, "The model"), ...errors },
    });
    app.openAPIRegistry.registerPath({
      method: "get",
      path: `/models/{name}${part}/ready`,
      summary: "Whether a model can be asked; the first request loads it",
      request: { params },
      responses: { 200: json(z.object({ name: z.string(), ready: z.literal(true) }), "It can"), ...errors },
    });
    app.openAPIRegistry.registerPath({
      method: "post",
      path: `/models/{name}${part}/infer`,
      summary: "Logits and log-probabilities of tokens, outputs for vectors, or logits of images' pixels",
      request: {
        params,
        body: {
          required: true,
          content: { "application/json": { schema: z.union([InferRequest, VectorRequest, PixelRequest]) } },
        },
      },
      responses: {
        200: json(InferReply, "The outputs"),
        ...errors,
        400: json(InferError, "The request is wrong; the error names the field"),
        503: json(InferError, "The model cannot be served at this moment"),
      },
    });

    app.get(path, async (c) => {
      const entry = await find(c);
      if (inputOf(entry.architecture) === "vectors") {
        const tensor = (name: string, width = -1) => [{ name, datatype: "FP32", shape: [1, -1, width] }];
        return c.json({
          ...nameOf(entry),
          platform: "mamba-edge",
          inputs: tensor("vectors", entry.inputs),
          outputs: tensor("outputs", entry.outputs),
        });
      }
      if (inputOf(entry.architecture) === "images") {
        return c.json({
          ...nameOf(entry),
          platform: "mamba-edge",
          inputs: [{ name: "pixels", datatype: "FP32", shape: [-1, 3, -1, -1] }],
          outputs: [{ name: "logits", datatype: "FP32", shape: [-1, -1] }],
        });
      }
      return c.json({
        ...nameOf(entry),
        platform: "mamba-edge",
        inputs: ["tokens", "targets"].map((name) => ({ name, datatype: "INT32", shape: [1, -1] })),
        outputs: [
          { name: "logits", datatype: "FP32", shape: [1, -1] },
          { name: "log_probs", datatype: "FP32", shape: [1, -1] },
        ],
      });
    });
    app.get(`${path}/ready`, async (c) => {
      const entry = await find(c);
      return c.json({ name: entry.name, ready: true });
    });

    app.post(`${path}/infer`, async (c) => {
      const entry = await find(c);
      const limits = limitsOf(c.env);
      const request = await readInference(inputOf(entry.architecture), c.req.raw, limits);
      const { signal } = c.req.raw;
      const record = c.get("record");
      const lease = await record.time("load", () =>
        pool.lease(entry.id, packageSource(c.env, entry), { limits, signal }),
      );
      const end = record.begin(entry.id);
      try {
        const {
          tokens,
          images = 0,
          outputs,
        } = await record.time("prefill", () => request.run(lease.model, { signal, more: lease.more }));
        record.count({ prompt: tokens, computed: tokens });
        record.images += images;
        const { name, versions } = nameOf(entry);
        return c.json({
          model_name: name,
          model_version: versions[0],
          ...(request.id !== undefined && { id: request.id }),
          outputs,
        });
      } finally {
        lease.release();
        end();
      }
    });
    app.all(path, methodNotAllowed("GET"));
    app.all(`${path}/ready`, methodNotAllowed("GET"));
    app.all(`${path}/infer`, methodNotAllowed("POST"));
  }
  return app;
}

/** A request that has been read, whatever the model is fed. */
interface Inference {
  readonly id: string | undefined;
  run(
    model: Model,
    options: AdvanceOptions,
  ): Promise<{ tokens: number; images?: number; outputs: z.output<typeof InferReply>["outputs"] }>;
}

async function readInference(input: ReturnType<typeof inputOf>, request: Request, limits: Limits): Promise<Inference> {
  if (input === "images") return pixelInference(await readJson(request, PixelRequest), limits);
  if (input === "vectors") return vectorInference(await readJson(request, VectorRequest), limits);
  return tokenInference(await readJson(request, InferRequest), limits);
}

function pixelInference(body: PixelRequest, limits: Limits): Inference {
  return {
    id: body.id,
    async run(model, options) {
      const { images, classes, data } = await inferPixels(model, limits, body, options);
      return { tokens: 0, images, outputs: [{ name: "logits", datatype: "FP32", shape: [images, classes], data }] };
    },
  };
}

function tokenInference(body: InferRequest, limits: Limits): Inference {
  const wanted = readRequest(body);
  return {
    id: body.id,
    async run(model, options) {
      checkWithin(model, limits, wanted);
      const { logits, logProbs } = await inferTokens(model, wanted, options);
      const { length } = wanted.tokens;
      const shape = wanted.logits === "all" ? [1, length, model.vocab] : [1, model.vocab];
      const outputs = [
        { name: "logits", datatype: "FP32" as const, shape, data: [...logits] },
        { name: "log_probs", datatype: "FP32" as const, shape: [1, length], data: [...logProbs] },
      ].filter(({ name }) => (name === "logits" ? wanted.logits !== "none" : wanted.targets !== undefined));
      return { tokens: length, outputs };
    },
  };
}

function vectorInference(body: VectorRequest, limits: Limits): Inference {
  return {
    id: body.id,
    async run(model, options) {
      const { shape, data, count } = await inferVectors(model, limits, body, options);
      return { tokens: count, outputs: [{ name: "outputs", datatype: "FP32", shape, data: [...data] }] };
    },
  };
}

/** An id is name@version. */
function nameOf({ name, id }: CatalogEntry): { name: string; versions: [string] } {
  return { name, versions: [id.slice(id.lastIndexOf("@") + 1)] };
}

/** @throws ApiError 400 on tensors that do not go together */
function readRequest({ inputs, outputs, parameters }: InferRequest): TokenInference {
  const tensor = (name: "tokens" | "targets"): number[] | undefined => {
    const [index = -1, second] = inputs.flatMap((input, i) => (input.name === name ? [i] : []));
    const input = inputs[index];
    if (input === undefined) return undefined;
    if (second !== undefined) throw badValue(`inputs[${second}].name`, `there are two tensors "${name}": send one`);
    const data = (Array.isArray(input.data[0]) ? input.data[0] : input.data) as number[];
    const at = `inputs[${index}].shape`;
    if (input.shape.at(-1) !== data.length || (input.shape.length === 2 && input.shape[0] !== 1)) {
      const seen = JSON.stringify(input.shape);
      throw badValue(
        at,
        `${at} is ${seen}, the data are ${data.length} token ids: it must be [${data.length}] or [1, ${data.length}]`,
      );
    }
    return data;
  };
  const tokens = tensor("tokens");
  const targets = tensor("targets");
  if (tokens === undefined) throw badValue("inputs", 'inputs has no tensor "tokens": give the token ids to feed');
  if (tokens.length === 0) throw badValue("inputs", 'the tensor "tokens" is empty: give at least one token id');
  if (targets !== undefined && targets.length !== tokens.length) {
    throw badValue(
      "inputs",
      `there are ${targets.length} targets for ${tokens.length} tokens: give one for each token`,
    );
  }
  const names = outputs?.map((output) => output.name) ?? ["logits", ...(targets === undefined ? [] : ["log_probs"])];
  if (names.length === 0) throw badValue("outputs", "outputs is []: name one, or leave it out for all of them");
  if (names.includes("log_probs") && targets === undefined) {
    throw badValue("outputs", 'log_probs are of targets: give the tensor "targets"');
  }
  const logits = names.includes("logits") ? (parameters?.positions ?? "last") : "none";
  return { tokens, targets: names.includes("log_probs") ? targets : undefined, logits };
}

/** @throws ApiError 400 with the limit and the number seen */
function checkWithin(model: Model, limits: Limits, { tokens, targets, logits }: TokenInference): void {
  const { id } = model.manifest;
  const most = mostPromptTokens(model, limits);
  if (tokens.length > most) throw promptTooLong(model, limits, "tokens", String(tokens.length));
  for (const [name, ids] of Object.entries({ tokens, targets: targets ?? [] })) {
    const unknown = ids.find((token) => token >= model.vocab);
    if (unknown === undefined) continue;
    throw badValue(
      name,
      `${name} has ${unknown}: the vocabulary of ${id} has ${model.vocab} tokens, 0 to ${model.vocab - 1}`,
    );
  }
  const heads = targets !== undefined || logits === "all" ? tokens.length : 1;
  const cost = tokens.length * model.multiplyAddsPerToken + heads * model.multiplyAddsPerHead;
  if (cost > limits.maxMultiplyAdds) {
    throw badValue(
      "tokens",
      `${tokens.length} tokens cost ${cost} multiply-adds, a request may cost ${limits.maxMultiplyAdds}: send fewer`,
    );
  }
  if (logits === "all" && tokens.length * model.vocab > MOST_NUMBERS) {
    throw badValue(
      "parameters.positions",
      `the logits of ${tokens.length} positions are ${tokens.length * model.vocab} numbers, a reply has at most ${MOST_NUMBERS}: send ${Math.floor(MOST_NUMBERS / model.vocab)} tokens, or ask for log_probs`,
    );
  }
}
