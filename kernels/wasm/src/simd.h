#pragma once
#include <stdint.h>
#include <wasm_simd128.h>

// The vocabulary of the kernels. A v128_t holds 4 f32 (or i32) lanes; add, sub and mul are f32.

#define EXPORT(name) __attribute__((export_name(#name)))
#define INLINE static inline __attribute__((always_inline))

// Register tiles are arrays whose loops must vanish; the loops around them must stay, or V8 spills.
#define UNROLL _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")

// Matrices, states and per-channel vectors are cut into blocks of 8 rows, whose lanes are rows.
enum { BLOCK = 8 };

INLINE v128_t load(const void *p) { return wasm_v128_load(p); }
INLINE void store(void *p, v128_t v) { wasm_v128_store(p, v); }
INLINE v128_t load_splat(const void *p) { return wasm_v128_load32_splat(p); }
INLINE v128_t splat(float v) { return wasm_f32x4_splat(v); }
INLINE v128_t add(v128_t a, v128_t b) { return wasm_f32x4_add(a, b); }
INLINE v128_t sub(v128_t a, v128_t b) { return wasm_f32x4_sub(a, b); }
INLINE v128_t mul(v128_t a, v128_t b) { return wasm_f32x4_mul(a, b); }

// The larger (smaller) of a and b; pmax and pmin are one instruction, max and min are eight.
INLINE v128_t larger(v128_t a, v128_t b) { return wasm_f32x4_pmax(a, b); }
INLINE v128_t smaller(v128_t a, v128_t b) { return wasm_f32x4_pmin(a, b); }

// Four bf16 as f32.
INLINE v128_t load_bf16(const void *p) { return wasm_i32x4_shl(wasm_u32x4_load16x4(p), 16); }

INLINE int blocks_of(int rows) { return (rows + BLOCK - 1) / BLOCK; }

// (v0 + v2) + (v1 + v3)
INLINE float sum_lanes(v128_t v) {
  v = add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(add(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2)), 0);
}
