#pragma once
#include "simd.h"

// Where a projection's results go: y (tokens, stride), and what is added on the way.
typedef struct {
  float *y;
  int stride;
  const float *bias; // (rows), or null
  int accumulate;    // y += W x + b instead of y = W x + b
} Output;

// Four rows of one token.
INLINE void put(const Output *out, int row, int token, v128_t value) {
  float *y = out->y + token * out->stride + row;
  if (out->bias) value = add(value, load(out->bias + row));
  if (out->accumulate) value = add(load(y), value);
  store(y, value);
}
