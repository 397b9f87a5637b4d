#include "math.h"

// The selective scan (Gu & Dao 2023, algorithm 2) of one sequence, lanes = channels, 8 channels through all tokens before the next 8:
//   h[n] = exp(dt · A[n]) · h[n] + B[n] · dt · x
//   y = (D · x + Σ_n C[n] · h[n]) · silu(z)
// A and h are (inner / 8, N, 8); A comes multiplied by log2 e. x and y may be the same.

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

// v, or 0 where |v| is far below what f32 sums can see: a decaying state never becomes denormal.
INLINE v128_t flush(v128_t v) {
  return wasm_v128_and(v, wasm_f32x4_gt(wasm_f32x4_abs(v), splat(1e-30f)));
}

INLINE void scan_block(int N, const Scan *s, int channel, int tokens) {
  const float *A = s->A + channel * N;
  float *h = s->h + channel * N;
  const v128_t D0 = load(s->D + channel), D1 = load(s->D + channel + 4);
  for (int t = 0; t < tokens; t++) {
    const float *x = s->x + t * s->stride + channel, *dt = s->dt + t * s->stride + channel, *z = s->z + t * s->z_stride + channel;
    const float *B = s->B + t * s->bc_stride, *C = s->C + t * s->bc_stride;
    v128_t x0 = load(x), x1 = load(x + 4), dt0 = load(dt), dt1 = load(dt + 4);
    v128_t u0 = mul(dt0, x0), u1 = mul(dt1, x1), y0 = mul(D0, x0), y1 = mul(D1, x1);
    ROLLED for (int n = 0; n < N; n++) {
      v128_t b = load_splat(B + n), c = load_splat(C + n);
      v128_t a0 = exp2_bounded(mul(dt0, load(A + n * BLOCK))), a1 = exp2_bounded(mul(dt1, load(A + n * BLOCK + 4)));
      v128_t h0 = flush(add(mul(a0, load(h + n * BLOCK)), mul(b, u0)));
      v128_t h1 = flush(add(mul(a1, load(h + n * BLOCK + 4)), mul(b, u1)));
      store(h + n * BLOCK, h0);
      store(h + n * BLOCK + 4, h1);
      y0 = add(y0, mul(c, h0));
      y1 = add(y1, mul(c, h1));
    }
    float *y = s->y + t * s->stride + channel;
    store(y, mul(y0, silu(load(z))));
    store(y + 4, mul(y1, silu(load(z + 4))));
  }
}

EXPORT(selective_scan)
void selective_scan(const float *A, const float *D, float *h, const float *dt, const float *x, int stride, const float *z, int z_stride,
                    const float *B, const float *C, int bc_stride, float *y, int tokens, int inner, int N) {
  const Scan s = {A, D, h, dt, x, stride, z, z_stride, B, C, bc_stride, y};
  for (int channel = 0; channel < inner; channel += BLOCK) scan_block(N, &s, channel, tokens);
}
