#include "record.h"

// u[t] = row tokens[t] of the table (vocab, dim), stored as the projections read it.

EXPORT(embed_f32) void embed_f32(const float *table, int dim, const int *tokens, int count, float *u, int stride) {
  for (int t = 0; t < count; t++, u += stride) {
    const float *row = table + (tokens[t] / BLOCK * dim) * BLOCK + tokens[t] % BLOCK;
    for (int c = 0; c < dim; c++) u[c] = row[c * BLOCK];
  }
}

EXPORT(embed_q8) void embed_q8(const uint8_t *table, int dim, const int *tokens, int count, float *u, int stride) {
  enum { TILE_BYTES = 2 * BLOCK + BLOCK * GROUP };
  const int groups = groups_of(dim);
  for (int t = 0; t < count; t++, u += stride) {
    const uint8_t *tile = table + tokens[t] / BLOCK * groups * TILE_BYTES;
    const int lane = tokens[t] % BLOCK;
    for (int g = 0; g < groups; g++, tile += TILE_BYTES) {
      const union { uint32_t bits; float value; } scale = {(uint32_t)((const uint16_t *)tile)[lane] << 16};
      const int8_t *row = (const int8_t *)tile + 2 * BLOCK + 4 * lane;
      const int cols = dim - g * GROUP < GROUP ? dim - g * GROUP : GROUP;
      for (int c = 0; c < cols; c++) u[g * GROUP + c] = scale.value * (float)row[c / 4 * (4 * BLOCK) + c % 4];
    }
  }
}
