#include "rounding.h"

// Activations (tokens, cols) f32 → records, int8 with a scale for each token and group of 32 columns.

#ifdef RELAXED
// Four chunks' words of one token: |q| and signs, `tokens` words apart.
INLINE void write_words(uint8_t *to, int tokens, v128_t magnitude, v128_t sign) {
  if (tokens == 1) {
    store(to, wasm_i32x4_shuffle(magnitude, sign, 0, 4, 1, 5));
    store(to + 16, wasm_i32x4_shuffle(magnitude, sign, 2, 6, 3, 7));
    return;
  }
  const int step = 8 * tokens;
  uint8_t *signs = to + 4 * tokens;
  wasm_v128_store32_lane(to, magnitude, 0);
  wasm_v128_store32_lane(to + step, magnitude, 1);
  wasm_v128_store32_lane(to + 2 * step, magnitude, 2);
  wasm_v128_store32_lane(to + 3 * step, magnitude, 3);
  wasm_v128_store32_lane(signs, sign, 0);
  wasm_v128_store32_lane(signs + step, sign, 1);
  wasm_v128_store32_lane(signs + 2 * step, sign, 2);
  wasm_v128_store32_lane(signs + 3 * step, sign, 3);
}

// Writes the chunks and returns start = Σ |q| over the negative q (see dots.h).
INLINE int write_chunks(const float *x, const Rounding *r, uint8_t *chunk, int tokens) {
  v128_t negative = wasm_i16x8_splat(0);
  UNROLL for (int half = 0; half < 2; half++) {
    v128_t q = wasm_i8x16_narrow_i16x8(round8(x + 16 * half, r), round8(x + 16 * half + 8, r));
    v128_t magnitude = wasm_i8x16_abs(q), sign = wasm_i8x16_shr(q, 7);
    write_words(chunk + half * 4 * 8 * tokens, tokens, magnitude, sign);
    negative = wasm_i16x8_add(negative, wasm_u16x8_extadd_pairwise_u8x16(wasm_v128_and(magnitude, sign)));
  }
  v128_t sum = wasm_u32x4_extadd_pairwise_u16x8(negative);
  sum = wasm_i32x4_add(sum, wasm_i32x4_shuffle(sum, sum, 2, 3, 0, 1));
  return wasm_i32x4_extract_lane(sum, 0) + wasm_i32x4_extract_lane(sum, 1);
}
#else
INLINE int write_chunks(const float *x, const Rounding *r, uint8_t *chunk, int tokens) {
  UNROLL for (int pair = 0; pair < CHUNKS / 2; pair++) {
    v128_t q = round8(x + 8 * pair, r);
    q = wasm_i16x8_shuffle(q, q, 0, 2, 1, 3, 4, 6, 5, 7);
    uint8_t *to = chunk + pair * 2 * 8 * tokens;
    wasm_v128_store32_lane(to, q, 0);
    wasm_v128_store32_lane(to + 4 * tokens, q, 1);
    wasm_v128_store32_lane(to + 8 * tokens, q, 2);
    wasm_v128_store32_lane(to + 12 * tokens, q, 3);
  }
  return 0;
}
#endif

// One group of one token.
INLINE void write_record(const float *x, v128_t shift, uint8_t *record, int tokens, int token) {
  const Rounding r = rounding_of(x, shift, (float *)record + tokens + token);
  ((int *)record)[token] = write_chunks(x, &r, record + 8 * tokens + 4 * token, tokens);
}

// One group of the four tokens of a tile.
INLINE void write_four(const float *x, int stride, v128_t shift, uint8_t *record) {
  Rounding r[4];
  roundings_of(x, stride, shift, (float *)record + 4, r);
  UNROLL for (int t = 0; t < 4; t++) ((int *)record)[t] = write_chunks(x + t * stride, &r[t], record + 32 + 4 * t, 4);
}

enum { DOT_RECORD_BYTES = RECORD_BYTES };
#include "tiles.h"

EXPORT(quantize) void quantize(const float *x, int stride, int tokens, int cols, uint8_t *records) {
  write_tiles(x, stride, tokens, cols, records);
}
