import { bucketOf, decay, decayIn, PER_NAT, REACH } from "./exact-math.ts";

const BUCKETS = REACH * PER_NAT;

/**
 * The tokens of one distribution in order of probability, ties by id, without sorting them all: each falls into a
 * bucket of 1/32 nat below the best, and only a bucket with a boundary in it (of top_k, top_p, min_p or the drawn number) is
 * sorted. The kept tokens are always the first so many of that order: fill keeps all, the keep methods shorten that.
 * Tokens 64 nats below the best are left out: no draw of 24 bits hits e^-64.
 *
 * Sums run in a fixed order (by id in a bucket, then by bucket) and use exact-math, so the same logits give the same
 * token on every host.
 */
export class Ranking {
  #logits: Float32Array = new Float32Array(0); // (vocab)
  #max = 0;
  #scale = 1; // 1 / temperature
  #buckets = new Uint16Array(0); // (vocab), BUCKETS for a token out of reach
  readonly #mass = new Float64Array(BUCKETS); // (bucket) sum of the kept tokens' weights, the best one's being 1
  #last = 0; // the last bucket with kept tokens
  #boundary: number[] | undefined; // the last bucket's kept tokens in order; undefined when all of it is kept

  /**
   * Ranks softmax(logits / temperature).
   * @param logits (vocab), finite; used until the next fill
   * @param max the largest of them
   * @param temperature > 0
   */
  fill(logits: Float32Array, max: number, temperature: number): void {
    this.#logits = logits;
    this.#max = max;
    // At most 1e300, because 0 · ∞ would be no number.
    const scale = Math.min(1 / temperature, 1e300);
    this.#scale = scale;
    if (this.#buckets.length < logits.length) this.#buckets = new Uint16Array(logits.length);
    const buckets = this.#buckets;
    const mass = this.#mass.fill(0);
    for (let token = 0; token < logits.length; token++) {
      const distance = (max - logits[token]!) * scale;
      if (distance < REACH) {
        const bucket = bucketOf(distance);
        buckets[token] = bucket;
        mass[bucket]! += decayIn(bucket, distance);
      } else {
        buckets[token] = BUCKETS;
      }
    }
    this.#last = BUCKETS - 1;
    this.#boundary = undefined;
  }

  /** As fill and keepTop(k), for a small k without a weight for every token. */
  fillTop(logits: Float32Array, max: number, temperature: number, k: number): void {
    this.#logits = logits;
    this.#max = max;
    this.#scale = Math.min(1 / temperature, 1e300);
    // So short a list counts as one bucket.
    this.#cut(
      0,
      mostProbable(logits, k).filter((token) => this.#distance(token) < REACH),
    );
  }

  /** top_k: the k most probable, k ≥ 1. */
  keepTop(k: number): void {
    const counts = new Uint32Array(BUCKETS + 1);
    for (let token = 0; token < this.#logits.length; token++) counts[this.#buckets[token]!]!++;
    let before = 0;
    for (let bucket = 0; bucket <= this.#last; bucket++) {
      if (before + counts[bucket]! >= k) {
        this.#cut(bucket, this.#kept(bucket).slice(0, k - before));
        return;
      }
      before += counts[bucket]!;
    }
  }

  /** top_p: the fewest most probable tokens that hold at least p of the kept probability, 0 < p ≤ 1. */
  keepMass(p: number): void {
    const target = p * this.#total();
    let sum = 0;
    let bucket = 0;
    while (bucket < this.#last && sum + this.#mass[bucket]! < target) sum += this.#mass[bucket++]!;
    const tokens = this.#kept(bucket);
    const end = tokens.findIndex((token) => {
      sum += this.#weight(token);
      return sum >= target;
    });
    this.#cut(bucket, end < 0 ? tokens : tokens.slice(0, end + 1));
  }

  /** min_p: those at most this many nats below the best, ≥ 0. */
  keepWithin(distance: number): void {
    if (distance >= REACH) return;
    const bucket = Math.min(this.#last, bucketOf(distance));
    const tokens = this.#kept(bucket);
    this.#cut(
      bucket,
      tokens.filter((token) => this.#distance(token) <= distance),
    );
  }

  /**
   * typical_p: the fewest tokens that hold at least p of the kept probability, those first whose -ln p is nearest to its expected value,
   * the entropy (Meister et al., arXiv:2202.00666, section 4); of equally near ones the more probable. 0 < p ≤ 1. For after the other
   * keep methods: the tokens kept are no longer the most probable ones.
   */
  keepTypical(p: number): void {
    const tokens: number[] = [];
    for (let bucket = 0; bucket <= this.#last; bucket++) {
      for (const token of this.#kept(bucket)) tokens.push(token);
    }
    const total = tokens.reduce((sum, token) => sum + this.#weight(token), 0);
    // -ln p is a token's distance below the best plus ln of the total: the same for all, and thus for the entropy.
    const expected = tokens.reduce((sum, token) => sum + this.#weight(token) * this.#distance(token), 0) / total;
    const deviations = new Map(tokens.map((token) => [token, Math.abs(this.#distance(token) - expected)]));
    // The sort is stable, and the tokens came in order of probability.
    tokens.sort((a, b) => deviations.get(a)! - deviations.get(b)!);
    let sum = 0;
    const end = tokens.findIndex((token) => {
      sum += this.#weight(token);
      return sum >= p * total;
    });
    this.#cut(0, end < 0 ? tokens : tokens.slice(0, end + 1));
  }

  /** The token where the cumulative probability of the kept ones, in order, first exceeds uniform in [0, 1). */
  draw(uniform: number): number {
    const target = uniform * this.#total();
    let sum = 0;
    let bucket = 0;
    while (bucket < this.#last && sum + this.#mass[bucket]! <= target) sum += this.#mass[bucket++]!;
    const tokens = this.#kept(bucket);
    for (const token of tokens) {
      sum += this.#weight(token);
      if (target < sum) return token;
    }
    // The same weights, summed in the order of ids, were an ulp more.
    return tokens.at(-1)!;
  }

  #distance(token: number): number {
    return (this.#max - this.#logits[token]!) * this.#scale;
  }

  #weight(token: number): number {
    return decay(this.#distance(token));
  }

  #total(): number {
    let total = 0;
    for (let bucket = 0; bucket <= this.#last; bucket++) total += this.#mass[bucket]!;
    return total;
  }

  #cut(bucket: number, kept: number[]): void {
    this.#last = bucket;
    this.#boundary = kept;
    this.#mass[bucket] = kept.reduce((sum, token) => sum + this.#weight(token), 0);
  }

  #kept(bucket: number): number[] {
    if (bucket === this.#last && this.#boundary !== undefined) return this.#boundary;
    const tokens: number[] = [];
    const buckets = this.#buckets;
    for (let token = 0; token < this.#logits.length; token++) {
      if (buckets[token] === bucket) tokens.push(token);
    }
    return tokens.sort(byLogit(this.#logits));
  }
}

/**
 * The ids of the k largest logits in order, ties by id; all of them when there are fewer.
 * Collects what exceeds the k-th best so far and sorts now and then: for small k little more than one comparison a
 * token.
 */
export function mostProbable(logits: Float32Array, k: number): number[] {
  if (k === 0) return [];
  const order = byLogit(logits);
  const room = 2 * k + 64;
  const ids: number[] = [];
  let floor = Number.NEGATIVE_INFINITY;
  for (let token = 0; token < logits.length; token++) {
    if (!(logits[token]! > floor)) continue;
    ids.push(token);
    if (ids.length < room) continue;
    ids.sort(order);
    ids.length = k;
    floor = logits[ids[k - 1]!]!;
  }
  ids.sort(order);
  return ids.slice(0, k);
}

function byLogit(logits: Float32Array): (a: number, b: number) => number {
  return (a, b) => logits[b]! - logits[a]! || a - b;
}
