/**
 * exp and log from additions, multiplications and divisions alone, which IEEE 754 fixes to the last bit. Math.exp and
 * Math.log may differ by an ulp between engines (ECMA-262 calls them implementation-approximated), and with them the
 * token drawn where a uniform number falls on the edge between two: with these, a seed gives the same text in workerd,
 * in Node and in every browser.
 *
 * The algorithms and constants of FreeBSD's msun e_exp.c and e_log.c (Sun Microsystems, 1993; error < 1 ulp).
 */

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

const P1 = 0.16666666666666602;
const P2 = -0.0027777777777015593;
const P3 = 6.613756321437934e-5;
const P4 = -1.6533902205465252e-6;
const P5 = 4.1381367970572385e-8;

const L1 = 0.6666666666666735;
const L2 = 0.3999999999940942;
const L3 = 0.2857142874366239;
const L4 = 0.22222198432149784;
const L5 = 0.1818357216161805;
const L6 = 0.15313837699209373;
const L7 = 0.14798198605116586;

/** e^x for -700 ≤ x ≤ 0. */
export function exp(x: number): number {
  const k = Math.floor(x * Math.LOG2E + 0.5);
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  const t = r * r;
  const c = r - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))));
  let y = 1 - (low - (r * c) / (2 - c) - high);
  // Halving is exact while the result is a normal number.
  for (let halvings = -k; halvings > 0; halvings--) y /= 2;
  return y;
}

/** Beyond this many nats decay is 0: e^-64 ≈ 1.6e-28 is nothing beside a sum of at least 1 in f64. */
export const REACH = 64;
/** Buckets a nat is cut into. */
export const PER_NAT = 32;

/** (bucket) e^−x in the middle of each bucket. */
const MIDDLES = Float64Array.from({ length: REACH * PER_NAT }, (_, bucket) => exp(-(bucket + 0.5) / PER_NAT));

/** The bucket of x, 0 ≤ x < 64: the 1/32 nat it lies in. */
export function bucketOf(x: number): number {
  return (x * PER_NAT) | 0;
}

/**
 * e^−x for x ≥ 0, quick enough for every token of a vocabulary: a table of bucket middles and a Taylor series of degree
 * 6 over the 1/64 nat on either side of one (its rest is below 5e-17). Relative error < 5e-16.
 */
export function decay(x: number): number {
  return x < REACH ? decayIn(bucketOf(x), x) : 0;
}

/** decay of an x whose bucket is known. */
export function decayIn(bucket: number, x: number): number {
  const r = (bucket + 0.5) / PER_NAT - x;
  const r2 = r * r;
  // Estrin's scheme: shorter chains of dependent operations than Horner's.
  const series = 1 + r + r2 * (1 / 2 + r * (1 / 6) + r2 * (1 / 24 + r * (1 / 120) + r2 * (1 / 720)));
  return MIDDLES[bucket]! * series;
}

/** The natural logarithm of a finite x ≥ 1. */
export function log(x: number): number {
  // x = 2^k · m with √2/2 < m ≤ √2
  let k = 0;
  let m = x;
  while (m > Math.SQRT2) {
    m /= 2;
    k++;
  }
  const f = m - 1;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const r = z * (L1 + w * (L3 + w * (L5 + w * L7))) + w * (L2 + w * (L4 + w * L6));
  const half = 0.5 * f * f;
  return k * LN2_HIGH - (half - (s * (half + r) + k * LN2_LOW) - f);
}
