/**
 * Counter-based randomness: the draw at a position depends on (seed, position) alone, so that a snapshot stores only
 * the seed, a continued sequence draws what it would have drawn, and a GPU can draw for any position without the
 * ones before.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 4.3),
 * with counter (position mod 2³², position div 2³², 0, 0) and key (seed mod 2³², seed div 2³²). Only u32 additions,
 * multiplications, shifts and exclusive ors, which WGSL has too. A cheaper hash of four words was measured and
 * refused: in pcg4d a change of a word's high bits leaves the low bits of the result as they were.
 */

/** A safe integer from 0 to 2⁵³ − 1. */
export type Seed = number;

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** The high 32 bits of a · b, from 16-bit halves because neither JavaScript nor WGSL has that instruction. */
function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const low = Math.imul(a0, b0) >>> 16;
  const middle = (Math.imul(a1, b0) + low) >>> 0;
  const cross = (Math.imul(a0, b1) + (middle & 0xffff)) >>> 0;
  return (Math.imul(a1, b1) + (middle >>> 16) + (cross >>> 16)) >>> 0;
}

/** One block: counter (4 u32), key (2 u32) → 4 u32. */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/**
 * The uniform number at a position: a multiple of 2⁻²⁴ in [0, 1), the high 24 bits of the block's first word (24, so
 * that f32 holds it exactly).
 * @throws {RangeError} when seed or position is not a safe integer ≥ 0
 */
export function draw(seed: Seed, position: number): number {
  const [word] = philox4x32([...halves(position, "position"), 0, 0], halves(seed, "seed"));
  return (word >>> 8) / 0x1000000;
}

function halves(value: number, name: string): [number, number] {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${name} is ${value}: it must be an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
  }
  return [value >>> 0, Math.floor(value / 0x100000000)];
}

/** A seed of 53 bits from the platform's cryptographic source, for a request that gives none. */
export function randomSeed(): Seed {
  const words = crypto.getRandomValues(new Uint32Array(2));
  return (words[0]! >>> 11) * 0x100000000 + words[1]!;
}
