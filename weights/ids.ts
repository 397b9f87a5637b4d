/** Names that follow from contents: two packages with the same id compute the same. */
import { sha256Text } from "./hash.ts";
import type { Manifest } from "./manifest.ts";

/**
 * name@first 12 hex of sha256 over architecture, hyperparameters, tensor table, quantization, layout version, shard hashes and
 * tokenizer hash, and of the chat template's or the image input where there is one. Card, licence and what training is said to have been are outside it.
 */
export async function packageId(m: Omit<Manifest, "id" | "family" | "source">): Promise<string> {
  const hash = await sha256Text(
    canonical({
      architecture: m.architecture,
      hyperparameters: m.hyperparameters,
      layout: m.layout,
      quantization: m.quantization,
      shards: m.shards.map((s) => s.sha256),
      tensors: m.tensors.map((t) => [t.name, t.shape, t.encoding, t.offset, t.bytes]),
      tokenizer: m.tokenizer?.sha256 ?? null,
      ...(m.chatTemplate && { chatTemplate: m.chatTemplate.sha256 }),
      ...(m.image && { image: m.image }),
    }),
  );
  return `${m.name}@${hash.slice(0, 12)}`;
}

/**
 * architecture@first 12 hex of sha256 over architecture, hyperparameters, tensor names and shapes, the source values and tokenizer
 * hash: what stays the same whatever the package is called and however it is quantized.
 */
export async function familyId(
  m: Pick<Manifest, "architecture" | "hyperparameters" | "tensors" | "source" | "tokenizer">,
): Promise<string> {
  const hash = await sha256Text(
    canonical({
      architecture: m.architecture,
      hyperparameters: m.hyperparameters,
      source: m.source,
      tensors: byName(m.tensors).map((t) => [t.name, t.shape]),
      tokenizer: m.tokenizer?.sha256 ?? null,
    }),
  );
  return `${m.architecture}@${hash.slice(0, 12)}`;
}

/**
 * sha256 over [name, sha256 of the f32 values, row-major little-endian] of every tensor, in the order of the names.
 * A hash of hashes, because crypto.subtle hashes whole buffers only.
 */
export function sourceHash(tensors: readonly { readonly name: string; readonly sha256: string }[]): Promise<string> {
  return sha256Text(canonical(byName(tensors).map((t) => [t.name, t.sha256])));
}

function byName<T extends { readonly name: string }>(tensors: readonly T[]): T[] {
  return [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** JSON without spaces, keys sorted by UTF-16 units, numbers as JavaScript prints them, infinite ones as Infinity and -Infinity. */
export function canonical(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${fields.map(([key, v]) => `${JSON.stringify(key)}:${canonical(v)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}
