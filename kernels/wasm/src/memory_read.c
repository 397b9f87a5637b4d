#include "simd.h"

// Reads memory as fast as one thread can: the ceiling that decoding is measured against. bytes is a multiple of 256.

EXPORT(read_one_stream) int read_one_stream(const uint8_t *p, int bytes) {
  v128_t a = wasm_i32x4_splat(0), b = a, c = a, d = a;
  for (const uint8_t *end = p + bytes; p < end; p += 64) {
    a = wasm_v128_xor(a, load(p));
    b = wasm_v128_xor(b, load(p + 16));
    c = wasm_v128_xor(c, load(p + 32));
    d = wasm_v128_xor(d, load(p + 48));
  }
  return wasm_i32x4_extract_lane(wasm_v128_xor(wasm_v128_xor(a, b), wasm_v128_xor(c, d)), 0);
}

EXPORT(read_four_streams) int read_four_streams(const uint8_t *p, int bytes) {
  const int quarter = bytes / 4;
  v128_t a = wasm_i32x4_splat(0), b = a, c = a, d = a;
  for (const uint8_t *end = p + quarter; p < end; p += 64) {
    UNROLL for (int i = 0; i < 64; i += 16) {
      a = wasm_v128_xor(a, load(p + i));
      b = wasm_v128_xor(b, load(p + i + quarter));
      c = wasm_v128_xor(c, load(p + i + 2 * quarter));
      d = wasm_v128_xor(d, load(p + i + 3 * quarter));
    }
  }
  return wasm_i32x4_extract_lane(wasm_v128_xor(wasm_v128_xor(a, b), wasm_v128_xor(c, d)), 0);
}
