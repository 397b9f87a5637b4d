#pragma once
#include "record.h"

// Exact integer dots of a q4 weight tile with a record of activations: lanes are rows, 8 columns a step. A nibble n means n − 8, so
// w·x = n·x − 8·Σx: the second term is the record's start. Nibbles are below 128, so they are the operand that relaxed dots want small.

#ifdef RELAXED
// As in dots.h. PAIRED has it easier than with q8: a pair of products is at most 2 · 127 · 15, and the 8 of a group fit in i16, so that
// they are widened once a group.
enum { FUSED, PAIRED };
INLINE v128_t q4_constant(void) { return held(wasm_i16x8_splat(1)); }
INLINE v128_t q4_begin(int kind, v128_t start) { return kind == PAIRED ? wasm_i32x4_splat(0) : start; }
INLINE v128_t q4_dot(int kind, v128_t nibbles, v128_t q, v128_t sum) {
  if (kind == FUSED) return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(q, nibbles, sum);
  return wasm_i16x8_add(sum, wasm_i16x8_relaxed_dot_i8x16_i7x16(q, nibbles));
}
INLINE v128_t q4_end(int kind, v128_t ones, v128_t start, v128_t sum) {
  return kind == PAIRED ? wasm_i32x4_add(start, wasm_i32x4_dot_i16x8(sum, ones)) : sum;
}
#else
// A row's 4 bytes are two i16 lanes: (n0, n2) in their low bytes, (n1, n3) in their high ones.
enum { WIDENED };
#endif
