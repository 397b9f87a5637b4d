import type { TokenCounts } from "../ops/request-record.ts";
import type { Usage } from "../schemas/completion.ts";

/** What replies say of the tokens. */
export function usageOf({ prompt, generated, reused, computed }: TokenCounts): Usage {
  return {
    prompt_tokens: prompt,
    completion_tokens: generated,
    total_tokens: prompt + generated,
    prompt_tokens_details: { cached_tokens: reused },
    computed_tokens: computed,
  };
}
