#pragma once
#include <stdint.h>
#include <wasm_simd128.h>

// The vocabulary of the kernels. A v128_t holds 4 f32 (or i32) lanes; add, sub and mul are f32.

#define EXPORT(name) __attribute__((export_name(#name)))
#define INLINE static inline __attribute__((always_inline))

// Register tiles are arrays whose loops must vanish; the loops around them must stay, or V8 spills.
#define UNROLL _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")

// Lanes are rows: matrices are cut into blocks of 8 rows, each (columns, 8); what works channel by channel, and the state, into blocks of
// 16 channels, each (columns, 16).
enum { BLOCK = 8, VECTORS = 4, CHANNELS = 4 * VECTORS };

INLINE v128_t load(const void *p) { return wasm_v128_load(p); }
INLINE void store(void *p, v128_t v) { wasm_v128_store(p, v); }
INLINE v128_t load_splat(const void *p) { return wasm_v128_load32_splat(p); }
INLINE v128_t splat(float v) { return wasm_f32x4_splat(v); }
INLINE v128_t add(v128_t a, v128_t b) { return wasm_f32x4_add(a, b); }
INLINE v128_t sub(v128_t a, v128_t b) { return wasm_f32x4_sub(a, b); }
INLINE v128_t mul(v128_t a, v128_t b) { return wasm_f32x4_mul(a, b); }
#ifdef MADD
// Rounded once or twice, as the host likes: in no module but the one that tells what doing without costs.
INLINE v128_t mul_add(v128_t a, v128_t b, v128_t c) { return wasm_f32x4_relaxed_madd(a, b, c); }
#else
INLINE v128_t mul_add(v128_t a, v128_t b, v128_t c) { return add(mul(a, b), c); }
#endif

// The larger (smaller) of a and b; pmax and pmin are one instruction, max and min are eight.
INLINE v128_t larger(v128_t a, v128_t b) { return wasm_f32x4_pmax(a, b); }
INLINE v128_t smaller(v128_t a, v128_t b) { return wasm_f32x4_pmin(a, b); }

// Four bf16 as f32.
INLINE v128_t load_bf16(const void *p) { return wasm_i32x4_shl(wasm_u32x4_load16x4(p), 16); }

// Keeps a constant in a local: clang would repeat it at every use, and V8 makes it anew there in three instructions.
INLINE v128_t held(v128_t constant) {
  asm volatile("" : "+r"(constant));
  return constant;
}

// At the head of a loop: the addresses are taken as they are. clang would make them of a counter, with an addition for every load.
INLINE void opaque(const uint8_t **p, const uint8_t **q, const uint8_t **r) { asm volatile("" : "+r"(*p), "+r"(*q), "+r"(*r) : : "memory"); }
INLINE void opaque_f32(const float **a, const float **b, const float **c, float **d) {
  asm volatile("" : "+r"(*a), "+r"(*b), "+r"(*c), "+r"(*d));
}

// What makes a and b goes before, what uses them after: otherwise clang begins all the sums of a tile first, and V8 runs out of registers.
INLINE void in_order(v128_t *a, v128_t *b) { asm volatile("" : "+r"(*a), "+r"(*b)); }

// Keeps what lies at a pointer in memory, where clang would keep it in locals.
INLINE void in_memory(float **p) { asm volatile("" : "+r"(*p) : : "memory"); }

// Four vectors that take the same steps. `abreast` ends a step: without it clang writes one vector's steps after another's, each
// waiting for the last, and the CPU runs out of room to look for work that does not wait (in the scan that costs a factor of two).
typedef struct {
  v128_t v[VECTORS];
} Quad;
#define EACH(i) UNROLL for (int i = 0; i < VECTORS; i++)
INLINE void abreast(Quad *q) { asm volatile("" : "+r"(q->v[0]), "+r"(q->v[1]), "+r"(q->v[2]), "+r"(q->v[3])); }

// 16 f32s in a row.
INLINE Quad load_quad(const float *p) { return (Quad){{load(p), load(p + 4), load(p + 8), load(p + 12)}}; }
INLINE void store_quad(float *p, Quad q) { EACH(i) store(p + 4 * i, q.v[i]); }
INLINE Quad splat_quad(float v) { return (Quad){{splat(v), splat(v), splat(v), splat(v)}}; }

INLINE int blocks_of(int rows) { return (rows + BLOCK - 1) / BLOCK; }

// (v0 + v2) + (v1 + v3)
INLINE float sum_lanes(v128_t v) {
  v = add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(add(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2)), 0);
}

// Rows of i32 lanes become columns.
INLINE void transpose(v128_t v[4]) {
  const v128_t a = wasm_i32x4_shuffle(v[0], v[1], 0, 4, 1, 5), b = wasm_i32x4_shuffle(v[0], v[1], 2, 6, 3, 7);
  const v128_t c = wasm_i32x4_shuffle(v[2], v[3], 0, 4, 1, 5), d = wasm_i32x4_shuffle(v[2], v[3], 2, 6, 3, 7);
  v[0] = wasm_i64x2_shuffle(a, c, 0, 2);
  v[1] = wasm_i64x2_shuffle(a, c, 1, 3);
  v[2] = wasm_i64x2_shuffle(b, d, 0, 2);
  v[3] = wasm_i64x2_shuffle(b, d, 1, 3);
}
