import { ERROR_CODES, type ErrorCode, type ErrorStatus } from "./error-codes.ts";

/** Characters of a message. What is seen may be as long as a body. */
const MOST = 2000;

export interface ErrorDetails {
  /** what was wrong, what was seen, what to do. Cut in its middle where it is long. */
  readonly message: string;
  /** the field at fault, such as "stop[1]". */
  readonly param?: string | undefined;
  /** for programs; the status follows from it. */
  readonly code: ErrorCode;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The JSON of every error reply. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: ErrorCode | null;
  };
}

/**
 * A request that cannot be served, as the client will see it.
 *
 * @example
 * throw new ApiError({ code: "model_not_found", param: "model", message: 'model "x" is not served here …' });
 */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: ErrorStatus;
  readonly param: string | undefined;
  readonly code: ErrorCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor({ message, param, code, headers = {} }: ErrorDetails) {
    super(cut(message));
    this.status = ERROR_CODES[code];
    this.param = param;
    this.code = code;
    this.headers = headers;
  }

  get body(): ErrorBody {
    return { error: { message: this.message, type: typeOf(this.status), param: this.param ?? null, code: this.code } };
  }
}

/** The beginning says what is wrong, the end what to do. */
function cut(message: string): string {
  if (message.length <= MOST) return message;
  const [begin, end] = [message.slice(0, MOST - 500), message.slice(-499)];
  return `${begin.toWellFormed()}…${end.toWellFormed()}`;
}

/** OpenAI's names for kinds of errors. */
function typeOf(status: ErrorStatus): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

/** A parameter with a wrong value. */
export function badValue(param: string, message: string, code: ErrorCode = "invalid_value"): ApiError {
  return new ApiError({ code, param, message });
}
