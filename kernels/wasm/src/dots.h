#pragma once
#include "record.h"

// Exact integer dots of a q8 weight tile with a record of activations: lanes are rows, 4 columns a step.

// 4 columns of a token in every lane: |q| and signs, or (q0, q2) and (q1, q3). Records of plain dots have the first only.
typedef struct {
  v128_t first, second;
} Columns;

#ifdef RELAXED
// Relaxed dots are exact on every host where their second operand is in 0..127. With s = −1 where x < 0, else 0:
//   w·x = (w xor s)·|x| + (|x| where x < 0), since ~w = −w − 1; the second term is the record's start.
//
// FUSED is the instruction that sums four products into i32. A host without one (x64 before AVX-VNNI) makes it of five, for which PAIRED
// needs three: two products in i16, where they fit (2 · 128 · 127 < 2^15), then pairs of them in i32.
//
// A second operand above 127 is the host's to read, but a host always reads it in one way, and that is known before a kernel runs
// (simd.ts). Where it is SIGNED (ARM, AVX-VNNI-INT8) the bytes go in as they are. Where it is UNSIGNED (AVX-VNNI) the weight goes in as
// w + 128 = w xor 128, made once for all tokens, and the sum starts from −128·Σx. Both take the records of q4, without signs.
enum { FUSED, PAIRED, SIGNED, UNSIGNED };
INLINE int is_plain(int kind) { return kind == SIGNED || kind == UNSIGNED; }
// Chunks without a loop around them: 2 % of a product of one token or of many, for twice its code.
INLINE int chunks_at_once(int kind) { return kind == PAIRED ? CHUNKS : 1; }
INLINE int record_bytes(int kind) { return is_plain(kind) ? Q4_RECORD_BYTES : RECORD_BYTES; }
INLINE v128_t dot_constant(int kind) { return held(kind == UNSIGNED ? wasm_i8x16_splat(-128) : wasm_i16x8_splat(1)); }
INLINE v128_t dot_start(int kind, v128_t start) {
  if (kind == SIGNED) return wasm_i32x4_splat(0);
  return kind == UNSIGNED ? wasm_i32x4_shl(start, 4) : start; // −8·Σx in the record
}
INLINE v128_t dot_end(v128_t sum) { return sum; }
INLINE v128_t dot_weights(int kind, v128_t flip, v128_t w) { return kind == UNSIGNED ? wasm_v128_xor(w, flip) : w; }
INLINE Columns load_columns(int kind, const uint8_t *first, const uint8_t *second) {
  return (Columns){load_splat(first), is_plain(kind) ? load_splat(first) : load_splat(second)};
}
INLINE v128_t dot(int kind, v128_t ones, v128_t w, Columns q, v128_t sum) {
  if (is_plain(kind)) return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(q.first, w, sum);
  w = wasm_v128_xor(w, q.second);
  if (kind == FUSED) return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(w, q.first, sum);
  return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_relaxed_dot_i8x16_i7x16(w, q.first), ones));
}
#else
// A row's 4 bytes are two i16 lanes: shifting them left by 8 leaves 256·(w0, w2), masking leaves 256·(w1, w3). The sums are 256 times
// what they mean until a group ends: as floats they would be so too, but for what becomes denormal or infinite.
enum { WIDENED };
INLINE int chunks_at_once(int kind) { return (void)kind, 1; }
INLINE int record_bytes(int kind) { return (void)kind, RECORD_BYTES; }
INLINE v128_t dot_constant(int kind) { return (void)kind, held(wasm_i16x8_splat((int16_t)0xff00)); }
INLINE v128_t dot_start(int kind, v128_t start) { return (void)kind, start; }
INLINE v128_t dot_end(v128_t sum) { return wasm_i32x4_shr(sum, 8); }
INLINE v128_t dot_weights(int kind, v128_t constant, v128_t w) { return (void)kind, (void)constant, w; }
INLINE Columns load_columns(int kind, const uint8_t *first, const uint8_t *second) {
  return (void)kind, (Columns){load_splat(first), load_splat(second)};
}
INLINE v128_t dot(int kind, v128_t mask, v128_t w, Columns q, v128_t sum) {
  (void)kind;
  sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_shl(w, 8), q.first));
  return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_v128_and(w, mask), q.second));
}
#endif
