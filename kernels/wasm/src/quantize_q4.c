#include "dots_q4.h"
#include "rounding.h"

// Activations (tokens, cols) f32 → records as q4 weights take them (dots_q4.h).

// Sum of the lanes of four i16x8.
INLINE int sum_lanes16(const v128_t q[4]) {
  const v128_t ones = wasm_i16x8_splat(1);
  v128_t sum = wasm_i32x4_splat(0);
  UNROLL for (int i = 0; i < 4; i++) sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(q[i], ones));
  sum = wasm_i32x4_add(sum, wasm_i32x4_shuffle(sum, sum, 2, 3, 0, 1));
  return wasm_i32x4_extract_lane(sum, 0) + wasm_i32x4_extract_lane(sum, 1);
}

INLINE void store_words(uint8_t *to, int step, v128_t v) {
  wasm_v128_store32_lane(to, v, 0);
  wasm_v128_store32_lane(to + step, v, 1);
  wasm_v128_store32_lane(to + 2 * step, v, 2);
  wasm_v128_store32_lane(to + 3 * step, v, 3);
}

// Writes the chunks and returns −8 Σ q.
INLINE int write_chunks(const float *x, const Rounding *r, uint8_t *chunk, int tokens) {
  v128_t q[4];
  UNROLL for (int i = 0; i < 4; i++) q[i] = round8(x + 8 * i, r);
#ifdef RELAXED
  store_words(chunk, 4 * tokens, wasm_i8x16_narrow_i16x8(q[0], q[1]));
  store_words(chunk + 16 * tokens, 4 * tokens, wasm_i8x16_narrow_i16x8(q[2], q[3]));
#else
  UNROLL for (int i = 0; i < 4; i++) {
    store_words(chunk + 16 * i * tokens, 4 * tokens, wasm_i16x8_shuffle(q[i], q[i], 0, 2, 1, 3, 4, 6, 5, 7));
  }
#endif
  return -8 * sum_lanes16(q);
}

INLINE void write_record(const float *x, v128_t shift, uint8_t *record, int tokens, int token) {
  const Rounding r = rounding_of(x, shift, (float *)record + tokens + token);
  ((int *)record)[token] = write_chunks(x, &r, record + 8 * tokens + 4 * token, tokens);
}

// One group of the four tokens of a tile. Relaxed, four chunks of four tokens are a square of words, which is turned in registers.
INLINE void write_four(const float *x, int stride, v128_t shift, uint8_t *record) {
  Rounding r[4];
  roundings_of(x, stride, shift, (float *)record + 4, r);
#ifdef RELAXED
  const v128_t ones = wasm_i16x8_splat(1);
  v128_t sums[4], words[4];
  UNROLL for (int half = 0; half < 2; half++) {
    UNROLL for (int t = 0; t < 4; t++) {
      const float *from = x + t * stride + 16 * half;
      const v128_t a = round8(from, &r[t]), b = round8(from + 8, &r[t]);
      const v128_t sum = wasm_i32x4_dot_i16x8(wasm_i16x8_add(a, b), ones);
      sums[t] = half == 0 ? sum : wasm_i32x4_add(sums[t], sum);
      words[t] = wasm_i8x16_narrow_i16x8(a, b);
    }
    transpose(words);
    UNROLL for (int chunk = 0; chunk < 4; chunk++) store(record + 32 + 16 * (4 * half + chunk), words[chunk]);
  }
  transpose(sums);
  const v128_t sum = wasm_i32x4_add(wasm_i32x4_add(sums[0], sums[1]), wasm_i32x4_add(sums[2], sums[3]));
  store(record, wasm_i32x4_neg(wasm_i32x4_shl(sum, 3)));
#else
  UNROLL for (int t = 0; t < 4; t++) ((int *)record)[t] = write_chunks(x + t * stride, &r[t], record + 32 + 4 * t, 4);
#endif
}

enum { DOT_RECORD_BYTES = Q4_RECORD_BYTES };
#include "tiles.h"

EXPORT(quantize_q4) void quantize_q4(const float *x, int stride, int tokens, int cols, uint8_t *records) {
  write_tiles(x, stride, tokens, cols, records);
}
