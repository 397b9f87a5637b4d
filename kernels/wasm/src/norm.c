#include "simd.h"

// y = u / sqrt(mean(u²) + eps) · weight, for each token; y may be u.
EXPORT(rms_norm)
void rms_norm(const float *u, int stride, int tokens, int dim, const float *weight, float eps, float *y, int y_stride) {
  for (int t = 0; t < tokens; t++, u += stride, y += y_stride) {
    v128_t s0 = splat(0.f), s1 = splat(0.f), s2 = splat(0.f), s3 = splat(0.f);
    int i = 0;
    for (; i + 16 <= dim; i += 16) {
      v128_t a = load(u + i), b = load(u + i + 4), c = load(u + i + 8), d = load(u + i + 12);
      s0 = mul_add(a, a, s0);
      s1 = mul_add(b, b, s1);
      s2 = mul_add(c, c, s2);
      s3 = mul_add(d, d, s3);
    }
    float squares = sum_lanes(add(add(s0, s1), add(s2, s3)));
    for (; i < dim; i++) squares += u[i] * u[i];
    const float scale = 1.f / __builtin_sqrtf(squares / (float)dim + eps);
    for (i = 0; i + 4 <= dim; i += 4) store(y + i, mul(mul(load(u + i), splat(scale)), load(weight + i)));
    for (; i < dim; i++) y[i] = u[i] * scale * weight[i];
  }
}

// Σ (u − mean)²; with mean = 0 and `squared` off, Σ u.
INLINE float deviation(const float *u, int dim, float mean, int squared) {
  const v128_t m = splat(mean);
  Quad s = splat_quad(0.f);
  int i = 0;
  for (; i + CHANNELS <= dim; i += CHANNELS) {
    Quad d = load_quad(u + i);
    EACH(j) d.v[j] = sub(d.v[j], m);
    EACH(j) s.v[j] = add(s.v[j], squared ? mul(d.v[j], d.v[j]) : d.v[j]);
  }
  float sum = sum_lanes(add(add(s.v[0], s.v[1]), add(s.v[2], s.v[3])));
  for (; i < dim; i++) sum += squared ? (u[i] - mean) * (u[i] - mean) : u[i] - mean;
  return sum;
}

// y = (u − mean(u)) / sqrt(var(u) + eps) · weight + bias, for each token; y may be u.
EXPORT(layer_norm)
void layer_norm(const float *u, int stride, int tokens, int dim, const float *weight, const float *bias, float eps, float *y, int y_stride) {
  for (int t = 0; t < tokens; t++, u += stride, y += y_stride) {
    const float mean = deviation(u, dim, 0.f, 0) / (float)dim;
    const float scale = 1.f / __builtin_sqrtf(deviation(u, dim, mean, 1) / (float)dim + eps);
    int i = 0;
    for (; i + 4 <= dim; i += 4) {
      const v128_t unit = mul(sub(load(u + i), splat(mean)), splat(scale));
      store(y + i, mul_add(unit, load(weight + i), load(bias + i)));
    }
    for (; i < dim; i++) y[i] = (u[i] - mean) * scale * weight[i] + bias[i];
  }
}
