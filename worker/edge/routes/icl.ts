import { OpenAPIHono } from "@hono/zod-openapi";
import { stateLayout, stateLength } from "../../../kernels/state.ts";
import { beyondTraining, mostExamples, observe, predict } from "../../engine/in-context.ts";
import type { Model } from "../../engine/model.ts";
import { Sequence } from "../../engine/sequence.ts";
import { decodeSnapshot, restoreSnapshot } from "../../engine/snapshot.ts";
import { standardize } from "../../engine/standardize.ts";
import { type AppEnv, type Limits, limitsOf } from "../env.ts";
import { badValue } from "../http/api-error.ts";
import { readJson } from "../http/body.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { packageSource } from "../models/package-source.ts";
import { mostPromptTokens } from "../models/request-budget.ts";
import { ErrorReply, errorReplies, json } from "../schemas/common.ts";
import { IclReply, IclRequest } from "../schemas/icl.ts";
import type { Services } from "../services.ts";
import { readSession } from "../sessions/sessions.ts";
import { storeAppend } from "../sessions/store-append.ts";

/**
 * Regression by models that learn from the examples in their prompt. With a session it is online: each request adds its examples to the
 * stored state, and none is computed twice.
 *
 * @example
 * curl localhost:8787/v1/icl/predictions -d '{"model":"icl-sparse-parity-mamba","examples":[{"x":[1,-1,1,1,1,-1,1,1,-1,1],"y":1}],"query":[[1,1,-1,1,-1,1,1,-1,1,1]]}'
 */
export function iclRoutes({ catalog, pool }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/icl/predictions",
    summary: "Predict from examples (x, y)",
    request: { body: { required: true, content: { "application/json": { schema: IclRequest } } } },
    responses: {
      200: json(IclReply, "A prediction for each query"),
      ...errorReplies,
      404: json(ErrorReply, "No such model or session"),
    },
  });

  app.post("/icl/predictions", async (c) => {
    const body = await readJson(c.req.raw, IclRequest);
    const [examples, query] = [body.examples ?? [], body.query ?? []];
    if (body.session != null && body.model != null)
      throw badValue("model", "model and session are both given: a session has its model, leave model out");
    if (body.session != null && body.standardize === true)
      throw badValue(
        "standardize",
        "examples of a session come one after another, and standardize needs all of them: give model and examples, or scale them yourself",
      );
    if (examples.length === 0 && query.length === 0)
      throw badValue("query", "there are neither examples nor a query: give one of them", "missing_field");
    const read = body.session == null ? undefined : await readSession(c.env, c.get("owner"), body.session);
    const name = read?.session.model ?? body.model ?? undefined;
    const entry = await catalog.find(c.env, name, "examples", read === undefined ? "model" : "session");
    const stored = read?.snapshot && (await decodeSnapshot(read.snapshot.bytes));
    const { signal } = c.req.raw;
    const limits = limitsOf(c.env);
    const record = c.get("record");
    const source = packageSource(c.env, entry);
    const lease = await record.time("load", () => pool.lease(entry.id, source, { limits, signal }));
    const end = record.begin(entry.id);
    let sequence: Sequence | undefined;
    try {
      const { model } = lease;
      checkWithin(model, limits, examples.length, query.length);
      const scaled = body.standardize === true ? standardize(examples, query, model) : undefined;
      sequence =
        stored === undefined ? new Sequence(model) : restoreSnapshot(model, stored, { otherQuantization: true });
      const cached = sequence.consumed;
      const options = { signal, more: lease.more };
      const learned = sequence;
      const before = await record.time("prefill", () => observe(learned, scaled?.examples ?? examples, options));
      const predictions = await record.time("decode", () => predict(learned, scaled?.queries ?? query, options));
      checkFinite(predictions);
      const computed = 2 * examples.length + query.length;
      record.count({ prompt: sequence.consumed, reused: cached, computed });
      const kept =
        read !== undefined && examples.length > 0
          ? await record.time("store", () => storeAppend(c.env, read.session, read.snapshot?.id, learned, record))
          : read && { session: read.session.id, ...(read.snapshot && { snapshot: read.snapshot.id }) };
      const value = (output: Float32Array): number | number[] => {
        const numbers = scaled === undefined ? [...output] : [...output].map(scaled.restore);
        return numbers.length === 1 ? numbers[0]! : numbers;
      };
      const trained = model.manifest.trainedExamples ?? null;
      const note = beyondTraining(entry.name, trained, sequence.consumed / 2);
      const reply: IclReply = {
        object: "icl.predictions",
        model: entry.id,
        predictions: predictions.map(value),
        before: before.map(value),
        usage: {
          examples: sequence.consumed / 2,
          cached_examples: cached / 2,
          computed_positions: computed,
          state_bytes: 4 * stateLength(stateLayout(model.blocks, sequence.consumed)),
          max_examples: Number.isFinite(mostExamples(model)) ? mostExamples(model) : null,
          trained_examples: trained,
        },
        ...(scaled !== undefined && { standardized: { x: [...scaled.x], y: scaled.y, rest: scaled.rest } }),
        ...(note !== undefined && { note }),
        ...kept,
      };
      return c.json(reply);
    } finally {
      sequence?.dispose();
      lease.release();
      end();
    }
  });
  app.all("/icl/predictions", methodNotAllowed("POST"));
  return app;
}

/** @throws ApiError 400 with the limit and the number seen */
function checkWithin(model: Model, limits: Limits, examples: number, queries: number): void {
  const [positions, most] = [2 * examples + queries, mostPromptTokens(model, limits)];
  if (positions <= most) return;
  throw badValue(
    2 * examples > most ? "examples" : "query",
    `${examples} examples and ${queries} queries take ${positions} positions, a request to ${model.manifest.id} may take ${most}: send fewer, or add examples to a session piece by piece`,
    "context_length_exceeded",
  );
}

/** JSON has no way to write other numbers. @throws ApiError 400 */
function checkFinite(predictions: readonly Float32Array[]): void {
  const bad = predictions.findIndex((prediction) => !prediction.every(Number.isFinite));
  if (bad < 0) return;
  throw badValue(
    `query[${bad}]`,
    `the model's prediction at query[${bad}] is not a finite number: the numbers given are too large for it, scale them to about 1`,
  );
}
