#include "math.h"

// dt = softplus(dt), in place; count is a multiple of 16.
EXPORT(softplus) void softplus(float *dt, int count) {
  const Exp2 k = exp2_constants(-60.f);
  for (int i = 0; i < count; i += CHANNELS) store_quad(dt + i, softplus_quad(&k, load_quad(dt + i)));
}
