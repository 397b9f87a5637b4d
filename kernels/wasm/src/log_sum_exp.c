#include "math.h"

// Σ_v e^logit over the vocabulary, seen in blocks of rows, relative to the largest logit so far: log p = logit − max − log(sum).
// It goes in units of 64 rows whatever the block, so that the bits do not depend on how the head was cut.

enum { UNIT = 64 };

typedef struct {
  double max, sum;
} Total;

INLINE Quad exp_quad(const Exp2 *k, Quad x) {
  EACH(i) x.v[i] = mul(x.v[i], splat(LOG2_E));
  return exp2_quad(k, x);
}

INLINE void add_unit(const Exp2 *k, Total *total, const float *logits) {
  v128_t m = load(logits);
  UNROLL for (int i = 4; i < UNIT; i += 4) m = larger(m, load(logits + i));
  m = larger(m, wasm_i32x4_shuffle(m, m, 2, 3, 0, 1));
  m = larger(m, wasm_i32x4_shuffle(m, m, 1, 0, 3, 2));
  const double max = wasm_f32x4_extract_lane(m, 0);
  if (max > total->max) {
    total->sum *= wasm_f32x4_extract_lane(exp_quad(k, splat_quad((float)(total->max - max))).v[0], 0);
    total->max = max;
  }
  const v128_t shift = splat((float)total->max);
  for (int i = 0; i < UNIT; i += CHANNELS) {
    Quad x = load_quad(logits + i);
    EACH(j) x.v[j] = sub(x.v[j], shift);
    x = exp_quad(k, x);
    total->sum += sum_lanes(add(add(x.v[0], x.v[1]), add(x.v[2], x.v[3])));
  }
}

// logits (tokens, stride), `rows` of them valid; totals (tokens), begun as {−1e30, 0}. Every block but the last has a multiple of 64
// rows.
EXPORT(log_sum_exp) void log_sum_exp(const float *logits, int stride, int tokens, int rows, Total *totals) {
  const Exp2 k = exp2_constants(-60.f);
  for (int t = 0; t < tokens; t++, logits += stride) {
    int r = 0;
    for (; r + UNIT <= rows; r += UNIT) add_unit(&k, totals + t, logits + r);
    if (r == rows) continue;
    float rest[UNIT];
    for (int i = 0; i < UNIT; i++) rest[i] = r + i < rows ? logits[r + i] : -1e30f;
    add_unit(&k, totals + t, rest);
  }
}
