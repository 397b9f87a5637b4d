import { expect, test } from "vitest";
import { boundaryHashes } from "../../worker/edge/prefixes/boundary-hashes.ts";

test("boundaries' hashes depend on all tokens before, and not on those after", async () => {
  const tokens = Array.from({ length: 5000 }, (_, i) => i % 257);
  const places = await boundaryHashes(tokens, [10, 3000]);
  expect(places.map((b) => b.tokens)).toEqual([10, 2048, 3000]);
  const longer = await boundaryHashes(tokens, [10, 3000, 4999]);
  expect(longer.slice(0, 3)).toEqual(places);
  expect(longer.map((b) => b.tokens)).toEqual([10, 2048, 3000, 4096, 4999]);
  const other = await boundaryHashes(
    tokens.map((t, i) => (i === 2 ? 1 : t)),
    [10, 3000],
  );
  for (const [i, { hash }] of other.entries()) expect(hash).not.toBe(places[i]!.hash);
});
