/** Names that other APIs, or other endpoints here, have for one thing; where several are known the first is meant. */
const SYNONYMS = [
  ["messages", "input", "prompt", "text", "content"],
  ["max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict", "n_predict"],
  ["repetition_penalty", "repeat_penalty"],
  ["stop", "stop_sequences"],
  ["query", "queries"],
  ["snapshot", "snapshot_id"],
  ["session", "session_id"],
] as const;

/**
 * The known name that a misspelled one is likely to mean: spelled as in another language, under another API's name, or with a slip or two.
 *
 * @example
 * nearName("maxTokens", ["max_tokens", "top_p"]); // "max_tokens"
 */
export function nearName(name: string, known: readonly string[]): string | undefined {
  const given = plain(name);
  const same = known.find((each) => plain(each) === given);
  if (same !== undefined) return same;
  const group = SYNONYMS.find((names) => names.some((each) => plain(each) === given));
  const meant = group?.find((each) => known.includes(each));
  if (meant !== undefined) return meant;
  const most = given.length > 7 ? 2 : given.length > 3 ? 1 : 0;
  const near = known
    .map((each) => ({ each, slips: distance(given, plain(each), most) }))
    .filter(({ slips }) => slips <= most)
    .toSorted((a, b) => a.slips - b.slips);
  return near[0]?.each;
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[_-]/g, "");
}

/** Characters put in, left out, changed, or swapped with their neighbour (optimal string alignment). @returns `most` + 1 where lengths alone say that it is more */
function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  // rows[i][j]: between the first i characters of a and the first j of b.
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? rows[i - 2]![j - 2]! + 1 : changed;
      row.push(Math.min(changed, swapped, rows[i - 1]![j]! + 1, row[j - 1]! + 1));
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
