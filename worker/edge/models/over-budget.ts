import { MemoryBudgetError } from "../../engine/errors.ts";

/** The same error, with what may be done about it where a Worker serves the model. */
export function overBudget({ demand, need, budget }: MemoryBudgetError): MemoryBudgetError {
  return new MemoryBudgetError(
    demand,
    need,
    budget,
    "let fewer requests compute at a time (MAX_SEQUENCES). The budget is MEMORY_BUDGET_MB under [vars] of wrangler.toml: what all models in memory may take of an isolate's 128 MB, of which the rest of the Worker needs some 24",
  );
}
