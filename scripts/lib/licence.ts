/**
 * What a model card says of the weights' licence: `license` of the YAML in front, as Hugging Face's cards have it, or a row of a table
 * that begins with licence or terms.
 */
export function licenceOf(card: string): string | undefined {
  const [, front = ""] = /^---\r?\n([\s\S]*?)\n---\s*$/m.exec(card.startsWith("---") ? card : "") ?? [];
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}:[ \\t]*["']?([^"'\\r\\n]+)`, "m").exec(front)?.[1]?.trim() || undefined;
  const [, row] = /^\|\s*(?:licen[cs]e|terms)\b[^|]*\|\s*(.+?)\s*\|\s*$/im.exec(card) ?? [];
  const named = field("license");
  // "other" has its name beside it. A card is of others' making, and this goes to a terminal.
  return ((named === "other" ? field("license_name") : undefined) ?? named ?? row)?.replace(/\p{Cc}/gu, "");
}
