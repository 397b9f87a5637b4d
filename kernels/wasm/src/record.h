#pragma once
#include "simd.h"

// Quantized activations. The tokens of a pass are cut into tiles of 4 (the last one shorter); a tile holds a record for every group of
// 32 columns. With `tokens` tokens in the tile, a record is 72 · tokens bytes:
//
//   i32 start[tokens]           what the integer sums start from
//   f32 scale[tokens]           x ≈ scale · q, q in −127..127
//   8 chunks of 4 columns, 8 · tokens bytes each:
//     relaxed   |q| of the 4 columns [tokens], then their signs, 0 or −1, [tokens]: bytes
//     baseline  (q0, q2) [tokens], then (q1, q3) [tokens]: i16
//
// Records for q4, which signed and unsigned dots take for q8 too, hold q in bytes when relaxed: 8 chunks of 4 · tokens bytes.
enum { GROUP = 32, CHUNKS = 8, TOKEN_TILE = 4, RECORD_BYTES = 72 };
#ifdef RELAXED
enum { Q4_RECORD_BYTES = 40 };
#else
enum { Q4_RECORD_BYTES = RECORD_BYTES };
#endif

INLINE int groups_of(int cols) { return (cols + GROUP - 1) / GROUP; }
INLINE int tile_tokens(int left) { return left < TOKEN_TILE ? left : TOKEN_TILE; }
