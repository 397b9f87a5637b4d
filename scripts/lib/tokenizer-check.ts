import { CheckpointError } from "../../weights/errors.ts";
import { blocksOf, inputOf } from "../../worker/engine/architectures/index.ts";
import type { PackageOutline } from "../../worker/engine/memory.ts";
import { TextTokenizer } from "../../worker/engine/tokenizer.ts";

/** Rows of an embedding that are padding have no token: published models have up to some 450 of them. */
const MOST_PADDING = 512;
/** Of state-spaces' models, whose repositories in original layout have no tokenizer: the -hf ones have it with them. */
const STATE_SPACES_ROWS = 50_280;

/**
 * Whether text can be given to a checkpoint's package.
 * @returns what to warn of
 * @throws CheckpointError when the tokenizer is of another model, or of a kind that is not read: its package could not be opened
 */
export function checkTokenizer(
  json: Uint8Array | undefined,
  { architecture, hyperparameters }: Pick<PackageOutline, "architecture" | "hyperparameters">,
): string | undefined {
  if (inputOf(architecture) !== "tokens") return undefined;
  const rows = blocksOf(architecture, hyperparameters).find((b) => b.kind === "embedding")?.vocab ?? 0;
  if (json === undefined) {
    const whose = rows === STATE_SPACES_ROWS ? " (state-spaces' models have EleutherAI/gpt-neox-20b's)" : "";
    return (
      "there is no tokenizer.json beside the checkpoint: the package takes token ids only (/v2), and completions, chats, responses and " +
      `sessions will refuse it; put the model's tokenizer.json${whose} there and convert again`
    );
  }
  const tokens = tokenizerOf(json).vocab;
  const what = `tokenizer.json has ${tokens} tokens, the embedding ${rows} rows`;
  if (tokens > rows) {
    throw new CheckpointError(
      `${what}: they do not belong together; put this model's tokenizer.json beside the checkpoint, or none`,
    );
  }
  return rows - tokens > MOST_PADDING
    ? `${what}: ${rows - tokens} more are no mere padding; is it this model's tokenizer?`
    : undefined;
}

function tokenizerOf(json: Uint8Array): TextTokenizer {
  try {
    return TextTokenizer.fromJson(json);
  } catch (cause) {
    throw new CheckpointError(
      `${(cause as Error).message}; replace it, or take it away to convert the model for token ids only`,
      { cause },
    );
  }
}
