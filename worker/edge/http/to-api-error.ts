import { KernelError } from "../../../kernels/backend.ts";
import { LeadershipLost, PackageError } from "../../../weights/errors.ts";
import {
  ImageError,
  MemoryBudgetError,
  ModelError,
  NonFiniteLogitsError,
  NonFiniteStateError,
  ParameterError,
  SnapshotError,
  TokenizerError,
} from "../../engine/errors.ts";
import { overBudget } from "../models/over-budget.ts";
import { isUnavailable } from "../models/package-source.ts";
import { ApiError } from "./api-error.ts";
import type { ErrorCode } from "./error-codes.ts";

const IMAGE_CODES = {
  unsupported: "image_unsupported",
  "too-large": "image_too_large",
  damaged: "image_damaged",
} as const satisfies Record<ImageError["kind"], ErrorCode>;

/**
 * What the client sees of any error. The engine's messages are written for it; of an unexpected error it sees only an id, and the log
 * has the rest under the same id.
 */
export function toApiError(error: unknown, where: string): ApiError {
  if (error instanceof ApiError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ParameterError) {
    const code = error.kind === "context" ? "context_length_exceeded" : "invalid_value";
    return new ApiError({ code, param: error.param, message });
  }
  if (error instanceof ImageError) {
    return new ApiError({ code: IMAGE_CODES[error.kind], param: "image", message });
  }
  if (error instanceof SnapshotError) return new ApiError({ code: "invalid_snapshot", message });
  if (error instanceof MemoryBudgetError) return unavailable("memory_budget_exceeded", overBudget(error).message);
  if (error instanceof LeadershipLost) return unavailable("model_loading", `${message}; send the request again`);
  if (error instanceof PackageError) {
    return unavailable(isUnavailable(error) ? "weights_unavailable" : "weights_corrupt", message);
  }
  if (error instanceof ModelError || error instanceof TokenizerError) return unavailable("model_unusable", message);
  if (error instanceof NonFiniteLogitsError) return new ApiError({ code: "non_finite_logits", message });
  if (error instanceof NonFiniteStateError) return new ApiError({ code: "non_finite_state", message });
  return unexpected(error, where);
}

function unavailable(code: ErrorCode, message: string): ApiError {
  return new ApiError({ code, message });
}

function unexpected(error: unknown, where: string): ApiError {
  const id = `err_${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const kind = error instanceof KernelError ? "kernel" : "unexpected";
  console.error(JSON.stringify({ level: "error", kind, id, where, detail }));
  return new ApiError({
    code: "internal_error",
    message: `the server failed unexpectedly; send the request again, and if it fails again, report error ${id}`,
  });
}
