import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { inputOf } from "../../engine/architectures/index.ts";
import type { Model } from "../../engine/model.ts";
import type { AdvanceOptions } from "../../engine/sequence.ts";
import { type AppEnv, type Limits, limitsOf } from "../env.ts";
import { inferPixels } from "../generation/infer-pixels.ts";
import { inferTokens } from "../generation/infer-tokens.ts";
import { inferVectors } from "../generation/infer-vectors.ts";
import { checkTokens, readTokens } from "../generation/token-request.ts";
import { readJson } from "../http/body.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import type { CatalogEntry } from "../models/catalog.ts";
import { packageSource } from "../models/package-source.ts";
import { json } from "../schemas/common.ts";
import { PixelRequest } from "../schemas/infer-pixels.ts";
import { VectorRequest } from "../schemas/infer-vectors.ts";
import { InferError, InferModel, InferReply, InferRequest } from "../schemas/inference.ts";
import type { Services } from "../services.ts";

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
          parameters: {
            max_examples: entry.max_examples,
            trained_examples: entry.trained_examples,
            interleave: entry.interleave,
          },
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
  const wanted = readTokens(body);
  return {
    id: body.id,
    async run(model, options) {
      checkTokens(model, limits, wanted);
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
