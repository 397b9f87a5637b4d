#include "simd.h"

// S4D as a recurrence (Gu et al. 2022) of one sequence, 16 channels through all tokens before the next 16. Complex in A, C and h:
//   h[n] = A[n] · h[n] + x
//   y = (D · x + Re Σ_n C[n] · h[n]) · z        without z: · 1
// A, C and h are in blocks of 16 channels, (N, 2, 16) each: real, then imaginary parts. x and y may be the same.

// As in scan.c: added to the real parts at every step, so that a state without input rests at a normal number.
static const float REST = 1e-24f;

typedef struct {
  const float *A, *C, *D;
  float *h;
  const float *x;
  int stride;
  const float *z; // or null
  int z_stride;
  float *y;
} S4d;

INLINE void s4d_channels(int N, const S4d *s, int channel, int tokens) {
  const v128_t rest = held(splat(REST));
  const float *A = s->A + channel * 2 * N, *C = s->C + channel * 2 * N;
  float *h = s->h + channel * 2 * N;
  for (int t = 0; t < tokens; t++) {
    const Quad x = load_quad(s->x + t * s->stride + channel);
    Quad y, in;
    EACH(i) y.v[i] = mul(load(s->D + channel + 4 * i), x.v[i]);
    EACH(i) in.v[i] = add(x.v[i], rest);
    ROLLED for (int n = 0; n < 2 * N * CHANNELS; n += 2 * CHANNELS) {
      EACH(i) {
        const int re = n + 4 * i, im = re + CHANNELS;
        const v128_t a = load(A + re), b = load(A + im), hr = load(h + re), hi = load(h + im);
        const v128_t next_r = add(sub(mul(a, hr), mul(b, hi)), in.v[i]), next_i = add(mul(a, hi), mul(b, hr));
        store(h + re, next_r);
        store(h + im, next_i);
        y.v[i] = add(y.v[i], sub(mul(load(C + re), next_r), mul(load(C + im), next_i)));
      }
    }
    if (s->z) EACH(i) y.v[i] = mul(y.v[i], load(s->z + t * s->z_stride + channel + 4 * i));
    store_quad(s->y + t * s->stride + channel, y);
  }
}

EXPORT(s4d_scan)
void s4d_scan(const float *A, const float *C, const float *D, float *h, const float *x, int stride, const float *z, int z_stride, float *y,
              int tokens, int channels, int N) {
  const S4d s = {A, C, D, h, x, stride, z, z_stride, y};
  for (int channel = 0; channel < channels; channel += CHANNELS) s4d_channels(N, &s, channel, tokens);
}
