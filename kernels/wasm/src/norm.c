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

// Σ (u − mean)² of `tokens` ≤ 2 tokens; with `squared` off, Σ u.
INLINE void deviations(int tokens, const float *u, int stride, int dim, const float *mean, int squared, float *sums) {
  Quad s[2] = {splat_quad(0.f), splat_quad(0.f)};
  int i = 0;
  ROLLED for (; i + CHANNELS <= dim; i += CHANNELS) {
    UNROLL for (int t = 0; t < tokens; t++) {
      Quad d = load_quad(u + t * stride + i);
      if (squared) {
        EACH(j) d.v[j] = sub(d.v[j], splat(mean[t]));
        EACH(j) d.v[j] = mul(d.v[j], d.v[j]);
      }
      EACH(j) s[t].v[j] = add(s[t].v[j], d.v[j]);
    }
  }
  UNROLL for (int t = 0; t < tokens; t++) {
    float sum = sum_lanes(add(add(s[t].v[0], s[t].v[1]), add(s[t].v[2], s[t].v[3])));
    const float *rest = u + t * stride;
    ROLLED for (int r = i; r < dim; r++) sum += squared ? (rest[r] - mean[t]) * (rest[r] - mean[t]) : rest[r];
    sums[t] = sum;
  }
}

INLINE void layer_norm_of(int tokens, const float *u, int stride, int dim, const float *weight, const float *bias, float eps, float *y,
                          int y_stride) {
  float mean[2], scale[2];
  deviations(tokens, u, stride, dim, mean, 0, mean);
  UNROLL for (int t = 0; t < tokens; t++) mean[t] /= (float)dim;
  deviations(tokens, u, stride, dim, mean, 1, scale);
  UNROLL for (int t = 0; t < tokens; t++) scale[t] = 1.f / __builtin_sqrtf(scale[t] / (float)dim + eps);
  int i = 0;
  ROLLED for (; i + 4 <= dim; i += 4) {
    const v128_t w = load(weight + i), b = load(bias + i);
    UNROLL for (int t = 0; t < tokens; t++) {
      store(y + t * y_stride + i, mul_add(mul(sub(load(u + t * stride + i), splat(mean[t])), splat(scale[t])), w, b));
    }
  }
  for (; i < dim; i++) {
    UNROLL for (int t = 0; t < tokens; t++) y[t * y_stride + i] = (u[t * stride + i] - mean[t]) * scale[t] * weight[i] + bias[i];
  }
}

// y = (u − mean(u)) / sqrt(var(u) + eps) · weight + bias, for each token; y may be u. Two tokens at a time: the sums of one are a chain.
EXPORT(layer_norm)
void layer_norm(const float *u, int stride, int tokens, int dim, const float *weight, const float *bias, float eps, float *y, int y_stride) {
  int t = 0;
  for (; t + 2 <= tokens; t += 2) layer_norm_of(2, u + t * stride, stride, dim, weight, bias, eps, y + t * y_stride, y_stride);
  if (t < tokens) layer_norm_of(1, u + t * stride, stride, dim, weight, bias, eps, y + t * y_stride, y_stride);
}
