#include "simd.h"

#ifdef RELAXED
// One lane of the fused dot of a (−128..127) with b. For b above 127 the result is the host's own: it tells which instructions it has.
EXPORT(dot_probe) int dot_probe(int a, int b) {
  v128_t zero = wasm_i32x4_splat(0);
  return wasm_i32x4_extract_lane(wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_i8x16_splat((int8_t)a), wasm_i8x16_splat((int8_t)b), zero), 0);
}
#endif
