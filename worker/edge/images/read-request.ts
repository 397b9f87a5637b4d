import { ApiError, badValue } from "../http/api-error.ts";
import { readBytes } from "../http/body.ts";
import { IMAGE_BYTES } from "./decode.ts";

/** Pictures of one request: one pass. */
export const MOST_IMAGES = 8;
const MULTIPART_BYTES = 16 * 1024 * 1024;
const FIELDS = ["model", "top_k", "observe"];

export interface ImagesRequest {
  readonly files: readonly Uint8Array[];
  readonly model: string | undefined;
  readonly topK: number;
  /** number of the stage whose scans are wanted. */
  readonly observe: number | undefined;
}

/**
 * A picture as the body, with `model` and `top_k` in the query; or a form with both as fields and up to 8 files named "image".
 * @throws ApiError 400, 413
 */
export async function readImages(request: Request): Promise<ImagesRequest> {
  const type = request.headers.get("content-type") ?? "";
  const values = new Map<string, string>(new URL(request.url).searchParams);
  if (values.has("url")) throw noUrl("url");
  if (/^application\/([\w.-]+\+)?json\b/i.test(type)) throw noJson();
  const files: Uint8Array[] = [];
  if (/^multipart\/form-data\b/i.test(type)) {
    for (const [name, value] of await readForm(request, type)) {
      if (name !== "image" && name !== "image[]") values.set(name, typeof value === "string" ? value : "(a file)");
      else if (typeof value === "string")
        throw /^https?:/.test(value)
          ? noUrl(name)
          : badValue("image", "image is a text: send it as a file of the form");
      else files.push(new Uint8Array(await value.arrayBuffer()));
    }
  } else files.push(await readBytes(request, IMAGE_BYTES));
  if (values.has("url")) throw noUrl("url");
  const unknown = [...values.keys()].find((name) => !FIELDS.includes(name));
  if (unknown !== undefined) {
    const message = `unknown field "${unknown}": the fields are image (files of a form), model, top_k and observe`;
    throw badValue(unknown, message, "unknown_field");
  }
  if (files.length === 0) throw badValue("image", 'the form has no file "image": add one', "missing_field");
  if (files.length > MOST_IMAGES) {
    throw badValue(
      "image",
      `there are ${files.length} pictures, a request may have ${MOST_IMAGES}: send fewer at a time`,
    );
  }
  const large = files.findIndex((file) => file.length > IMAGE_BYTES);
  if (large >= 0) {
    const message = `image ${large} has ${files[large]!.length} bytes, at most ${IMAGE_BYTES} are read: make it smaller first`;
    throw new ApiError({ code: "body_too_large", param: "image", message });
  }
  const topK = Number(values.get("top_k") ?? 5);
  if (!Number.isInteger(topK) || topK < 1 || topK > 1000) {
    throw badValue("top_k", `top_k is ${JSON.stringify(values.get("top_k"))}: it must be an integer from 1 to 1000`);
  }
  const observe = values.has("observe") ? Number(values.get("observe")) : undefined;
  return { files, model: values.get("model"), topK, observe };
}

async function readForm(request: Request, type: string): Promise<FormData> {
  const bytes = await readBytes(request, MULTIPART_BYTES);
  try {
    return await new Response(bytes, { headers: { "content-type": type } }).formData();
  } catch (error) {
    throw badValue(
      "body",
      `the form cannot be read (${(error as Error).message}): send multipart/form-data`,
      "invalid_form",
    );
  }
}

function noJson(): ApiError {
  const message =
    "the body is JSON: send a picture's bytes as the body (JPEG, PNG or WebP), or a form (multipart/form-data) with files named image. Neither URLs nor base64 are read";
  return new ApiError({ code: "image_unsupported", param: "body", message });
}

function noUrl(param: string): ApiError {
  return badValue(
    param,
    "pictures are not fetched from elsewhere, since the server would then call whatever host a request names: send the picture's bytes as the body, or as files of a form",
    "url_not_supported",
  );
}
