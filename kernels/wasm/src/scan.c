#include "math.h"

// The selective scan (Gu & Dao 2023, algorithm 2) of one sequence, 16 channels through all tokens before the next 16:
//   h[n] = exp(dt · A[n]) · h[n] + B[n] · dt · x
//   y = (D · x + Σ_n C[n] · h[n]) · silu(z)
// A and h are in blocks of 16 channels, (N, 16) each; A comes multiplied by log2 e. x and y may be the same.

typedef struct {
  const float *A, *D;
  float *h;
  const float *dt, *x; // (tokens, stride)
  int stride;
  const float *z; // (tokens, z_stride)
  int z_stride;
  const float *B, *C; // (tokens, bc_stride), N values each
  int bc_stride;
  float *y; // (tokens, stride)
} Scan;

// No state may become denormal. Decays stay above 2^-30, whose remainder f32 cannot see beside what replaces it, and every step adds
// 1e-24: a state without input comes to rest at 1e-24 or more, and a decay of it is still a normal number. Cutting off small values
// instead takes three instructions, a sixth of the loop.
static const float LEAST_DECAY = -30.f, REST = 1e-24f;

INLINE void scan_channels(int N, const Exp2 *k, const Scan *s, int channel, int tokens) {
  const v128_t rest = held(splat(REST));
  const float *A = s->A + channel * N;
  float *h = s->h + channel * N;
  for (int t = 0; t < tokens; t++) {
    const float *B = s->B + t * s->bc_stride, *C = s->C + t * s->bc_stride;
    const Quad x = load_quad(s->x + t * s->stride + channel), dt = load_quad(s->dt + t * s->stride + channel);
    Quad u, y; // dt · x, and the sum for y
    EACH(i) u.v[i] = mul(dt.v[i], x.v[i]);
    EACH(i) y.v[i] = mul(load(s->D + channel + 4 * i), x.v[i]);
    ROLLED for (int n = 0; n < N; n++) {
      const v128_t b = load_splat(B + n), c = load_splat(C + n);
      const Quad An = load_quad(A + n * CHANNELS), hn = load_quad(h + n * CHANNELS);
      Quad a, next;
      EACH(i) a.v[i] = mul(dt.v[i], An.v[i]);
      a = exp2_quad(k, a);
      EACH(i) next.v[i] = add(mul(a.v[i], hn.v[i]), add(mul(b, u.v[i]), rest));
      store_quad(h + n * CHANNELS, next);
      EACH(i) y.v[i] = add(y.v[i], mul(c, next.v[i]));
    }
    const Quad gate = silu_quad(k, load_quad(s->z + t * s->z_stride + channel));
    EACH(i) y.v[i] = mul(y.v[i], gate.v[i]);
    store_quad(s->y + t * s->stride + channel, y);
  }
}

EXPORT(selective_scan)
void selective_scan(const float *A, const float *D, float *h, const float *dt, const float *x, int stride, const float *z, int z_stride,
                    const float *B, const float *C, int bc_stride, float *y, int tokens, int channels, int N) {
  const Scan s = {A, D, h, dt, x, stride, z, z_stride, B, C, bc_stride, y};
  const Exp2 k = exp2_constants(LEAST_DECAY);
  for (int channel = 0; channel < channels; channel += CHANNELS) scan_channels(N, &k, &s, channel, tokens);
}
