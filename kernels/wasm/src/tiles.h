#pragma once
#include "rounding.h"

// Activations (tokens, cols) in tiles of records. The file that includes it defines before: write_record and DOT_RECORD_BYTES.

// One token of a tile.
INLINE void write_token(const float *x, int cols, uint8_t *record, int tokens, int token) {
  const v128_t shift = held(splat(12582912.f));
  const int whole = cols / GROUP * GROUP;
  for (int c = 0; c < whole; c += GROUP, record += DOT_RECORD_BYTES * tokens) write_record(x + c, shift, record, tokens, token);
  if (whole == cols) return;
  float rest[GROUP] = {0}; // what lies behind the last column belongs to others
  for (int c = whole; c < cols; c++) rest[c - whole] = x[c];
  write_record(rest, shift, record, tokens, token);
}

INLINE void write_tiles(const float *x, int stride, int tokens, int cols, uint8_t *records) {
  const int token_bytes = DOT_RECORD_BYTES * groups_of(cols);
  for (int first = 0; first < tokens; first += TOKEN_TILE) {
    const int count = tile_tokens(tokens - first);
    for (int token = 0; token < count; token++, x += stride) {
      if (count == 1) write_token(x, cols, records, 1, 0);
      else if (count == TOKEN_TILE) write_token(x, cols, records, TOKEN_TILE, token);
      else write_token(x, cols, records, count, token);
    }
    records += token_bytes * count;
  }
}
