import { limitsOf, positive, privateWeights, type Variables } from "../../worker/edge/limits.ts";
import type { Check } from "./deploy-checks.ts";

/** How the Worker reads each of its variables. @throws Error saying what it must be */
const READERS: Readonly<Record<keyof Variables, (env: Variables) => unknown>> = {
  DEFAULT_MODEL: ({ DEFAULT_MODEL }) => word("DEFAULT_MODEL", DEFAULT_MODEL),
  MEMORY_BUDGET_MB: limitsOf,
  MAX_SEQUENCES: limitsOf,
  MAX_MULTIPLY_ADDS_PER_REQUEST: limitsOf,
  MAX_PROMPT_TOKENS: limitsOf,
  MAX_TOKENS: limitsOf,
  SESSION_TTL_DAYS: limitsOf,
  PREFIX_STORE: limitsOf,
  PREFIX_STORE_MB: limitsOf,
  PREFIX_TTL_HOURS: limitsOf,
  RESPONSE_TTL_DAYS: limitsOf,
  RATE_LIMIT_PER_MINUTE: (env) => positive("RATE_LIMIT_PER_MINUTE", env.RATE_LIMIT_PER_MINUTE, 1),
  PRIVATE_WEIGHTS: privateWeights,
  CORS_ORIGINS: ({ CORS_ORIGINS }) => origins(word("CORS_ORIGINS", CORS_ORIGINS)),
  LOG_LEVEL: ({ LOG_LEVEL }) => level(word("LOG_LEVEL", LOG_LEVEL)),
};

/** Whether the Worker can read what stands under [vars], and reads all of it. */
export function checkVariables(vars: Readonly<Record<string, unknown>>): Check[] {
  // Keys have a check of their own.
  const names = Object.keys(vars).filter((name) => name !== "API_KEYS");
  const wrong = names.flatMap((name) => {
    const problem = problemOf(name, vars[name]);
    return problem === undefined ? [] : [{ what: `variable ${name}`, problem }];
  });
  return wrong.length > 0 ? wrong : [{ what: "variables can be read" }];
}

function problemOf(name: string, value: unknown): string | undefined {
  if (!Object.hasOwn(READERS, name)) {
    return `nothing reads ${name}, under [vars]: rename it or take it away; known are ${Object.keys(READERS).join(", ")}`;
  }
  try {
    READERS[name as keyof Variables]({ [name]: value });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function word(name: string, value: unknown = ""): string {
  if (typeof value === "string") return value;
  throw new Error(`variable ${name} is ${JSON.stringify(value)}: it must be a text`);
}

/** As http/browsers.ts compares them: with what browsers send as origin. */
function origins(list: string): void {
  if (list === "" || list === "*") return;
  for (const origin of list.split(",").map((o) => o.trim())) {
    if (origin === "*" || (URL.canParse(origin) && new URL(origin).origin === origin)) continue;
    throw new Error(
      `variable CORS_ORIGINS holds ${JSON.stringify(origin)}: each must be *, or as https://example.com, without a path or a slash at its end`,
    );
  }
}

function level(value: string): void {
  if (value === "" || value === "info" || value === "error") return;
  throw new Error(`variable LOG_LEVEL is ${JSON.stringify(value)}: it must be info or error`);
}
