import { z } from "zod";

/** Beside the packages, in the static assets and in a bucket. */
export const INDEX_FILE = "index.json";

/** One package as index.json lists it, written by scripts/build-assets.ts. */
const Entry = z.object({
  id: z.string().regex(/^[A-Za-z0-9._-]+@[0-9a-f]{12}$/),
  name: z.string(),
  family: z.string(),
  architecture: z.string(),
  quantization: z.string(),
  /** of the shards. */
  bytes: z.number(),
  /** unix seconds. */
  created: z.number(),
  /** whether it can be given text; an index made before this was said does not say. */
  tokenizer: z.boolean().optional(),
  /** names of the classes of an image model, where it has some and at most 100. */
  classes: z.array(z.string()).optional(),
  /** numbers of each vector that a model is fed and gives, where it takes vectors. */
  inputs: z.int().optional(),
  outputs: z.int().optional(),
  /** examples that such a model holds with a query behind them; null where nothing bounds them. */
  max_examples: z.int().nullable().optional(),
  /** examples that came before a question, at most, while such a model was trained; null where its package does not say. */
  trained_examples: z.int().nullable().optional(),
  /** false of those that are fed vectors one after another, and no examples. */
  interleave: z.literal(false).optional(),
});

export const IndexFile = z.array(Entry);
export type IndexEntry = z.output<typeof Entry>;

/** What a request for a name or an id gets. */
export function named<T extends IndexEntry>(entries: readonly T[], model: string): T | undefined {
  return entries.find((e) => e.id === model) ?? entries.find((e) => e.name === model);
}
