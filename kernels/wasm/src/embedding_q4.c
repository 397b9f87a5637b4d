#include "record.h"

// u[t] = row tokens[t] of a q4 table (vocab, dim).

EXPORT(embed_q4) void embed_q4(const uint8_t *table, int dim, const int *tokens, int count, float *u, int stride) {
  enum { TILE_BYTES = 2 * BLOCK + BLOCK * GROUP / 2 };
  const int groups = groups_of(dim);
  for (int t = 0; t < count; t++, u += stride) {
    const uint8_t *tile = table + tokens[t] / BLOCK * groups * TILE_BYTES;
    const int lane = tokens[t] % BLOCK;
    for (int g = 0; g < groups; g++, tile += TILE_BYTES) {
      const union { uint32_t bits; float value; } scale = {(uint32_t)((const uint16_t *)tile)[lane] << 16};
      const uint8_t *row = tile + 2 * BLOCK + 4 * lane;
      const int cols = dim - g * GROUP < GROUP ? dim - g * GROUP : GROUP;
      for (int c = 0; c < cols; c++) {
        const int packed = row[c / 8 * (4 * BLOCK) + c % 4], nibble = c % 8 < 4 ? packed & 15 : packed >> 4;
        u[g * GROUP + c] = scale.value * (float)(nibble - 8);
      }
    }
  }
}
