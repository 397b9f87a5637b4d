import { OpenAPIHono, z } from "@hono/zod-openapi";
import { ImageError, ModelError } from "../../engine/errors.ts";
import { prepare } from "../../engine/image/prepare.ts";
import { bestClasses, imageStages } from "../../engine/images.ts";
import type { Model } from "../../engine/model.ts";
import { type AppEnv, limitsOf } from "../env.ts";
import { classifyLoaded } from "../generation/infer-pixels.ts";
import { badValue } from "../http/api-error.ts";
import { methodNotAllowed } from "../http/method-not-allowed.ts";
import { decodeImage, decodingNeed } from "../images/decode.ts";
import { readImages } from "../images/read-request.ts";
import { packageSource } from "../models/package-source.ts";
import { checkImageBudget } from "../models/request-budget.ts";
import { ErrorReply, errorReplies, json } from "../schemas/common.ts";
import { ClassificationReply } from "../schemas/images.ts";
import type { Services } from "../services.ts";

/**
 * Classes of pictures, up to 8 in one pass.
 *
 * @example
 * curl localhost:8787/v1/images/classifications?model=vmamba --data-binary @photo.jpg -H 'content-type: image/jpeg'
 */
export function imageRoutes({ catalog, pool }: Services): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>();
  const file = z.string().openapi({ format: "binary" });
  const fields = {
    model: z.string().optional().openapi({ description: "An image model's name, or its id. Default the first one." }),
    top_k: z.coerce
      .number()
      .int()
      .min(1)
      .max(1000)
      .optional()
      .openapi({ description: "How many classes, the best first.", default: 5 }),
    observe: z.coerce
      .number()
      .int()
      .min(1)
      .optional()
      .openapi({ description: "Number of a stage: asks how strongly each of its four scans responded." }),
  };
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/images/classifications",
    summary: "Classify pictures: JPEG, PNG or WebP",
    request: {
      query: z.object(fields),
      body: {
        required: true,
        content: {
          "image/*": { schema: file },
          "multipart/form-data": {
            schema: z.object({
              ...fields,
              image: z.array(file).min(1).max(8).openapi({ description: "JPEG, PNG or WebP." }),
            }),
          },
        },
      },
    },
    responses: {
      200: json(ClassificationReply, "The best classes of each picture"),
      ...errorReplies,
      404: json(ErrorReply, "No such model"),
      415: json(ErrorReply, "A picture of a kind that is not read"),
    },
  });

  app.post("/images/classifications", async (c) => {
    const { files, model: name, topK, observe } = await readImages(c.req.raw);
    const entry = await catalog.find(c.env, name, "images");
    const { signal } = c.req.raw;
    const limits = limitsOf(c.env);
    const record = c.get("record");
    const source = packageSource(c.env, entry);
    const lease = await record.time("load", () => pool.lease(entry.id, source, { limits, signal }));
    const end = record.begin(entry.id);
    try {
      const { model } = lease;
      const spec = model.manifest.image;
      if (spec === undefined)
        throw new ModelError(`package ${entry.id} does not say what images it is fed: convert it again`);
      checkStage(model, observe);
      checkImageBudget(model, limits, files.length, spec, "image");
      const began = performance.now();
      const length = 3 * spec.height * spec.width;
      const data = new Float32Array(files.length * length);
      // One after another: each decoded picture is let go before the next.
      for (const [i, bytes] of files.entries()) {
        try {
          const need = decodingNeed(bytes);
          const giveBack = need === 0 ? () => {} : await pool.reserve(need, entry.id, { limits, signal });
          try {
            data.set(prepare(await decodeImage(bytes), spec), i * length);
          } finally {
            giveBack();
          }
        } catch (error) {
          if (!(error instanceof ImageError) || files.length === 1) throw error;
          throw new ImageError(error.kind, `image ${i}: ${error.message}`);
        }
      }
      const decoded = performance.now();
      const pixels = { shape: [files.length, 3, spec.height, spec.width] as const, data };
      const { logits, classes, stages, responses } = await record.time("prefill", () =>
        classifyLoaded(model, pixels, { signal, more: lease.more, observe }),
      );
      record.images += files.length;
      const reply: ClassificationReply = {
        object: "image.classifications",
        model: entry.id,
        data: files.map((_, index) => ({
          index,
          classes: bestClasses(logits.subarray(index * classes, (index + 1) * classes), topK, spec.classes),
          ...(responses[index] && { scans: { ...responses[index], values: [...responses[index].values] } }),
        })),
        timings: {
          wall_milliseconds_across_io: {
            decode: decoded - began,
            model: performance.now() - decoded,
            stages: [...stages],
          },
        },
      };
      return c.json(reply);
    } finally {
      lease.release();
      end();
    }
  });
  app.all("/images/classifications", methodNotAllowed("POST"));
  return app;
}

/** @throws ApiError 400 */
function checkStage(model: Model, observe: number | undefined): void {
  if (observe === undefined) return;
  const stages = imageStages(model.blocks).length - 2; // without stem and head
  if (Number.isInteger(observe) && observe >= 1 && observe <= stages) return;
  throw badValue("observe", `observe is ${observe}: ${model.manifest.id} has stages 1 to ${stages}`);
}
