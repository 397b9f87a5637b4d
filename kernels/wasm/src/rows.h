#pragma once
#include "simd.h"

// Up to 16 f32s of a row whose end is not padded.

INLINE Quad load_some(const float *p, int count) {
  if (count >= CHANNELS) return load_quad(p);
  float some[CHANNELS] = {0};
  for (int i = 0; i < count; i++) some[i] = p[i];
  return load_quad(some);
}

INLINE void store_some(float *p, int count, Quad q) {
  if (count >= CHANNELS) {
    store_quad(p, q);
    return;
  }
  float some[CHANNELS];
  store_quad(some, q);
  for (int i = 0; i < count; i++) p[i] = some[i];
}
