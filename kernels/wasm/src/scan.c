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

// One or two n of 8 channels, in a Quad: (n, channels 0–3), (n, 4–7), (n + 1, 0–3), (n + 1, 4–7). Of 16 channels and one n there would be
// twelve vectors that live through the loop instead of six, and V8 would keep them in memory. With one n the other half is not used.
typedef struct {
  v128_t dt[2], u[2], y[2]; // u = dt · x
} Channels;

INLINE void step(int count, const Exp2 *k, v128_t rest, const float *A, float *h, const float *B, const float *C, Channels *c) {
  const int other = count - 1;
  Quad a, next;
  EACH(i) a.v[i] = mul(c->dt[i % 2], load(A + i / 2 * other * CHANNELS + i % 2 * 4));
  a = exp2_quad(k, a);
  const v128_t b[2] = {load_splat(B), load_splat(B + other)}, cn[2] = {load_splat(C), load_splat(C + other)};
  EACH(i) next.v[i] = mul_add(a.v[i], load(h + i / 2 * other * CHANNELS + i % 2 * 4), mul_add(b[i / 2], c->u[i % 2], rest));
  UNROLL for (int i = 0; i < 2 * count; i++) store(h + i / 2 * CHANNELS + i % 2 * 4, next.v[i]);
  UNROLL for (int i = 0; i < 2 * count; i++) c->y[i % 2] = mul_add(cn[i / 2], next.v[i], c->y[i % 2]);
}

// Σ_n of 8 channels onto D · x, for one token.
INLINE void scan_half(int N, const Exp2 *k, v128_t rest, const float *A, float *h, const float *B, const float *C, Channels *c) {
  ROLLED for (const float *end = B + N / 2 * 2; B < end; B += 2, C += 2, A += 2 * CHANNELS, h += 2 * CHANNELS) {
    opaque_f32(&A, &B, &C, &h);
    step(2, k, rest, A, h, B, C, c);
  }
  if (N % 2) step(1, k, rest, A, h, B, C, c);
}

INLINE void scan_channels(int N, const Exp2 *k, const Scan *s, int channel, int tokens) {
  const v128_t rest = held(splat(REST));
  for (int t = 0; t < tokens; t++) {
    const int at = t * s->stride + channel;
    Quad y;
    for (int half = 0; half < CHANNELS; half += 8) {
      Channels c;
      UNROLL for (int i = 0; i < 2; i++) {
        const v128_t x = load(s->x + at + half + 4 * i);
        c.dt[i] = load(s->dt + at + half + 4 * i);
        c.u[i] = mul(c.dt[i], x);
        c.y[i] = mul(load(s->D + channel + half + 4 * i), x);
      }
      scan_half(N, k, rest, s->A + channel * N + half, s->h + channel * N + half, s->B + t * s->bc_stride, s->C + t * s->bc_stride, &c);
      UNROLL for (int i = 0; i < 2; i++) store(s->y + at + half + 4 * i, c.y[i]);
    }
    y = load_quad(s->y + at);
    const Quad gate = silu_quad(k, load_quad(s->z + t * s->z_stride + channel));
    EACH(i) y.v[i] = mul(y.v[i], gate.v[i]);
    store_quad(s->y + at, y);
  }
}

EXPORT(selective_scan)
void selective_scan(const float *A, const float *D, float *h, const float *dt, const float *x, int stride, const float *z, int z_stride,
                    const float *B, const float *C, int bc_stride, float *y, int tokens, int channels, int N) {
  const Scan s = {A, D, h, dt, x, stride, z, z_stride, B, C, bc_stride, y};
  const Exp2 k = exp2_constants(LEAST_DECAY);
  for (int channel = 0; channel < channels; channel += CHANNELS) scan_channels(N, &k, &s, channel, tokens);
}
