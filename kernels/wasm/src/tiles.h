#pragma once
#include "rounding.h"

// Activations (tokens, cols) in tiles of records. The file that includes it defines before: write_record, write_four and DOT_RECORD_BYTES.

// One token of a tile of `tokens`, from group `first` on.
INLINE void write_token(const float *x, int cols, int first, uint8_t *record, int tokens, int token) {
  const v128_t shift = held(splat(12582912.f));
  record += first * DOT_RECORD_BYTES * tokens;
  const int whole = cols / GROUP * GROUP;
  for (int c = first * GROUP; c < whole; c += GROUP, record += DOT_RECORD_BYTES * tokens) write_record(x + c, shift, record, tokens, token);
  if (whole == cols) return;
  float rest[GROUP] = {0}; // what lies behind the last column belongs to others
  for (int c = whole; c < cols; c++) rest[c - whole] = x[c];
  write_record(rest, shift, record, tokens, token);
}

// The four tokens of a whole tile: their whole groups together, what is left one after another.
INLINE void write_whole_tile(const float *x, int stride, int cols, uint8_t *records) {
  const v128_t shift = held(splat(12582912.f));
  const int groups = cols / GROUP;
  for (int g = 0; g < groups; g++) write_four(x + g * GROUP, stride, shift, records + g * DOT_RECORD_BYTES * TOKEN_TILE);
  if (groups * GROUP == cols) return;
  for (int token = 0; token < TOKEN_TILE; token++) write_token(x + token * stride, cols, groups, records, TOKEN_TILE, token);
}

INLINE void write_tiles(const float *x, int stride, int tokens, int cols, uint8_t *records) {
  const int token_bytes = DOT_RECORD_BYTES * groups_of(cols);
  for (int first = 0; first < tokens; first += TOKEN_TILE) {
    const int count = tile_tokens(tokens - first);
    if (count == TOKEN_TILE) write_whole_tile(x, stride, cols, records);
    else if (count == 1) write_token(x, cols, 0, records, 1, 0);
    else for (int token = 0; token < count; token++) write_token(x + token * stride, cols, 0, records, count, token);
    x += count * stride;
    records += token_bytes * count;
  }
}
