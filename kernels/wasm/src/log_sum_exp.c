#include "math.h"

// Σ_v e^logit over the vocabulary, seen in blocks of rows, relative to the largest logit so far: log p = logit − max − log(sum).
// It goes in units of 64 rows whatever the block, so that the bits do not depend on how the head was cut.

enum { UNIT = 64 };

typedef struct {
  double max, sum;
} Total;

INLINE v128_t exp4(v128_t x) { return exp2_bounded(mul(x, splat(LOG2_E))); }

INLINE void add_unit(Total *total, const float *logits) {
  v128_t m = load(logits);
  UNROLL for (int i = 4; i < UNIT; i += 4) m = larger(m, load(logits + i));
  m = larger(m, wasm_i32x4_shuffle(m, m, 2, 3, 0, 1));
  m = larger(m, wasm_i32x4_shuffle(m, m, 1, 0, 3, 2));
  const double max = wasm_f32x4_extract_lane(m, 0);
  if (max > total->max) {
    total->sum *= wasm_f32x4_extract_lane(exp4(splat((float)(total->max - max))), 0);
    total->max = max;
  }
  const v128_t shift = splat((float)total->max);
  v128_t sum = splat(0.f);
  for (int i = 0; i < UNIT; i += 4) sum = add(sum, exp4(sub(load(logits + i), shift)));
  total->sum += sum_lanes(sum);
}

// logits (tokens, stride), `rows` of them valid; totals (tokens), begun as {−1e30, 0}. All blocks but the last have a multiple of 64 rows.
EXPORT(log_sum_exp) void log_sum_exp(const float *logits, int stride, int tokens, int rows, Total *totals) {
  for (int t = 0; t < tokens; t++, logits += stride) {
    int r = 0;
    for (; r + UNIT <= rows; r += UNIT) add_unit(totals + t, logits + r);
    if (r == rows) continue;
    float rest[UNIT];
    for (int i = 0; i < UNIT; i++) rest[i] = r + i < rows ? logits[r + i] : -1e30f;
    add_unit(totals + t, rest);
  }
}
