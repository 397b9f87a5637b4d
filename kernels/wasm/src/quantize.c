#include "record.h"

// Activations (tokens, cols) f32 → records, int8 with a scale for each token and group of 32 columns.

// Largest |x| of a group, as f32 bits: their order is that of the values, and a NaN is above everything, so it survives as the scale.
INLINE int largest_bits(const float *x) {
  v128_t m = wasm_i32x4_splat(0);
  UNROLL for (int i = 0; i < GROUP; i += 4) m = wasm_i32x4_max(m, wasm_f32x4_abs(load(x + i)));
  m = wasm_i32x4_max(m, wasm_i32x4_shuffle(m, m, 2, 3, 0, 1));
  m = wasm_i32x4_max(m, wasm_i32x4_shuffle(m, m, 1, 0, 3, 2));
  return wasm_i32x4_extract_lane(m, 0);
}

// Nearest whole numbers of x · inverse as i32, |x · inverse| < 2^22.
INLINE v128_t round4(const float *x, v128_t inverse) {
  const v128_t shift = splat(12582912.f);
  return wasm_i32x4_sub(add(mul(load(x), inverse), shift), shift);
}

INLINE v128_t round8(const float *x, v128_t inverse) {
  return wasm_i16x8_narrow_i32x4(round4(x, inverse), round4(x + 4, inverse));
}

#ifdef RELAXED
INLINE void store_lanes(uint8_t *to, int step, v128_t v) {
  wasm_v128_store32_lane(to, v, 0);
  wasm_v128_store32_lane(to + step, v, 1);
  wasm_v128_store32_lane(to + 2 * step, v, 2);
  wasm_v128_store32_lane(to + 3 * step, v, 3);
}

// Writes the chunks and returns start = Σ |q| over the negative q (see dots.h).
INLINE int write_chunks(const float *x, v128_t inverse, uint8_t *chunk, int tokens) {
  v128_t negative = wasm_i16x8_splat(0);
  UNROLL for (int half = 0; half < 2; half++) {
    v128_t q = wasm_i8x16_narrow_i16x8(round8(x + 16 * half, inverse), round8(x + 16 * half + 8, inverse));
    v128_t magnitude = wasm_i8x16_abs(q), sign = wasm_i8x16_shr(q, 7);
    uint8_t *to = chunk + half * 4 * 8 * tokens;
    store_lanes(to, 8 * tokens, magnitude);
    store_lanes(to + 4 * tokens, 8 * tokens, sign);
    negative = wasm_i16x8_add(negative, wasm_u16x8_extadd_pairwise_u8x16(wasm_v128_and(magnitude, sign)));
  }
  v128_t sum = wasm_u32x4_extadd_pairwise_u16x8(negative);
  sum = wasm_i32x4_add(sum, wasm_i32x4_shuffle(sum, sum, 2, 3, 0, 1));
  return wasm_i32x4_extract_lane(sum, 0) + wasm_i32x4_extract_lane(sum, 1);
}
#else
INLINE int write_chunks(const float *x, v128_t inverse, uint8_t *chunk, int tokens) {
  UNROLL for (int pair = 0; pair < CHUNKS / 2; pair++) {
    v128_t q = round8(x + 8 * pair, inverse);
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
INLINE void write_record(const float *x, uint8_t *record, int tokens, int token) {
  const float tiny = 1e-20f; // below it a group counts as zero: no denormal products
  union { int bits; float value; } largest = {largest_bits(x)}, least = {.value = tiny};
  int nonzero = largest.bits >= least.bits;
  float scale = nonzero ? largest.value * (1.f / 127.f) : 0.f;
  v128_t inverse = splat(nonzero ? 127.f / largest.value : 0.f);
  ((int *)record)[token] = write_chunks(x, inverse, record + 8 * tokens + 4 * token, tokens);
  ((float *)record)[tokens + token] = scale;
}

EXPORT(quantize) void quantize(const float *x, int stride, int tokens, int cols, uint8_t *records) {
  int whole = cols / GROUP, groups = groups_of(cols);
  for (int first = 0; first < tokens; first += TOKEN_TILE) {
    int count = tile_tokens(tokens - first);
    for (int token = 0; token < count; token++, x += stride) {
      uint8_t *record = records;
      for (int g = 0; g < whole; g++, record += RECORD_BYTES * count) write_record(x + g * GROUP, record, count, token);
      if (whole == groups) continue;
      float rest[GROUP] = {0}; // what lies behind the last column belongs to others
      for (int c = whole * GROUP; c < cols; c++) rest[c - whole * GROUP] = x[c];
      write_record(rest, record, count, token);
    }
    records += RECORD_BYTES * count * groups;
  }
}
