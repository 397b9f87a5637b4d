#include "math.h"

// dt = softplus(dt), in place; count is a multiple of 4.
EXPORT(softplus) void softplus(float *dt, int count) {
  for (int i = 0; i < count; i += 4) store(dt + i, softplus4(load(dt + i)));
}
