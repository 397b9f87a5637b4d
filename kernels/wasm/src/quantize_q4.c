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

INLINE void write_record(const float *x, v128_t shift, uint8_t *record, int tokens, int token) {
  const Rounding r = rounding_of(x, shift, (float *)record + tokens + token);
  uint8_t *chunk = record + 8 * tokens + 4 * token;
  v128_t q[4];
  UNROLL for (int i = 0; i < 4; i++) q[i] = round8(x + 8 * i, &r);
  ((int *)record)[token] = -8 * sum_lanes16(q);
#ifdef RELAXED
  store_words(chunk, 4 * tokens, wasm_i8x16_narrow_i16x8(q[0], q[1]));
  store_words(chunk + 16 * tokens, 4 * tokens, wasm_i8x16_narrow_i16x8(q[2], q[3]));
#else
  UNROLL for (int i = 0; i < 4; i++) {
    store_words(chunk + 16 * i * tokens, 4 * tokens, wasm_i16x8_shuffle(q[i], q[i], 0, 2, 1, 3, 4, 6, 5, 7));
  }
#endif
}

enum { DOT_RECORD_BYTES = Q4_RECORD_BYTES };
#include "tiles.h"

EXPORT(quantize_q4) void quantize_q4(const float *x, int stride, int tokens, int cols, uint8_t *records) {
  write_tiles(x, stride, tokens, cols, records);
}
