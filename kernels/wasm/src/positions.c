#include "simd.h"

// u[t] += row first + t of the table (count, dim), which is in blocks of 16 rows, (dim, 16) each.
EXPORT(add_positions) void add_positions(const float *table, int dim, int first, int tokens, float *u, int stride) {
  for (int t = 0; t < tokens; t++, u += stride) {
    const float *row = table + ((first + t) / CHANNELS * dim) * CHANNELS + (first + t) % CHANNELS;
    for (int c = 0; c < dim; c++) u[c] += row[c * CHANNELS];
  }
}
