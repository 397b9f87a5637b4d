import type { z } from "@hono/zod-openapi";
import { ApiError } from "./api-error.ts";
import { validate } from "./validate.ts";

/** Most bytes of a JSON body. */
export const JSON_BYTES = 4 * 1024 * 1024;

/**
 * The bytes of a request's body, at most `limit` of them.
 * @throws ApiError 413, before reading where the client says the length; 400 when it breaks off
 */
export async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const stated = Number(request.headers.get("content-length") ?? 0);
  if (stated > limit) throw tooLarge(stated, limit);
  const parts: Uint8Array[] = [];
  let size = 0;
  // The stated length may be absent (chunked) or wrong.
  for await (const part of whole(request.body, () => size)) {
    size += part.byteLength;
    if (size > limit) throw tooLarge(size, limit);
    parts.push(part);
  }
  const bytes = new Uint8Array(size);
  let end = 0;
  for (const part of parts) {
    bytes.set(part, end);
    end += part.byteLength;
  }
  return bytes;
}

/**
 * The JSON body as the schema gives it, whatever its content-type says; no body is an empty object.
 * @throws ApiError 400 or 413
 */
export async function readJson<T extends z.ZodType>(request: Request, schema: T): Promise<z.output<T>> {
  const bytes = await readBytes(request, JSON_BYTES);
  return validate(schema, bytes.length === 0 ? {} : parse(bytes));
}

/** A client that goes away before it has sent all is no failure of the server's. */
async function* whole(body: ReadableStream<Uint8Array> | null, read: () => number): AsyncGenerator<Uint8Array> {
  try {
    yield* body ?? [];
  } catch (error) {
    throw new ApiError({
      code: "invalid_body",
      message: `the body broke off after ${read()} bytes (${(error as Error).message}): send the request again`,
    });
  }
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch (error) {
    throw new ApiError({
      code: "invalid_json",
      message: `the body of ${bytes.length} bytes is not JSON in UTF-8 (${(error as Error).message}): send a JSON object`,
    });
  }
}

function tooLarge(seen: number, limit: number): ApiError {
  return new ApiError({
    code: "body_too_large",
    message: `the body has ${seen} bytes or more, at most ${limit} are read: send less at a time`,
  });
}
