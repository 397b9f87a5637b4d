#include "math.h"
#include "rows.h"

// SS2D (Liu et al. 2024), 16 channels at a time: what they read and write stays in the cache for all four scans.

// x and out of a row, the rows above and below that exist, weights (9, 16).
typedef struct {
  int stride, row_stride, top, bottom;
  const float *w;
  Quad bias;
} Taps;

// b + Σ w[tap] · x[near] of `positions` neighbours in a row, which all have columns `left` to `right`.
INLINE void sum_taps(int positions, int left, int right, const Taps *taps, const float *x, float *out, int out_stride) {
  Quad y[2];
  UNROLL for (int t = 0; t < positions; t++) y[t] = taps->bias;
  ROLLED for (int r = taps->top; r <= taps->bottom; r++) {
    const float *from = x + r * taps->row_stride, *tap = taps->w + (3 * (r + 1) + 1) * CHANNELS;
    UNROLL for (int c = left; c <= right; c++) {
      const Quad w = load_quad(tap + c * CHANNELS);
      UNROLL for (int t = 0; t < positions; t++) {
        EACH(i) y[t].v[i] = add(y[t].v[i], mul(load(from + (c + t) * taps->stride + 4 * i), w.v[i]));
        abreast(&y[t]);
      }
    }
  }
  UNROLL for (int t = 0; t < positions; t++) store_quad(out + t * out_stride, y[t]);
}

// out = silu(b + Σ w[tap] · x[near]) over the 3 × 3 neighbours inside the image. The sums of a row first: with silu they are one long chain.
EXPORT(depthwise_conv)
void depthwise_conv(const float *x, int stride, int height, int width, const float *w, const float *bias, float *out, int out_stride) {
  const Exp2 e = exp2_constants(-60.f);
  Taps taps = {stride, width * stride, 0, 0, w, bias ? load_quad(bias) : splat_quad(0.f)};
  for (int row = 0; row < height; row++, x += width * stride, out += width * out_stride) {
    taps.top = row > 0 ? -1 : 0;
    taps.bottom = row + 1 < height ? 1 : 0;
    if (width == 1) sum_taps(1, 0, 0, &taps, x, out, out_stride);
    else {
      sum_taps(1, 0, 1, &taps, x, out, out_stride);
      int c = 1;
      for (; c + 2 < width; c += 2) sum_taps(2, -1, 1, &taps, x + c * stride, out + c * out_stride, out_stride);
      if (c + 1 < width) {
        sum_taps(1, -1, 1, &taps, x + c * stride, out + c * out_stride, out_stride);
        c++;
      }
      sum_taps(1, -1, 0, &taps, x + c * stride, out + c * out_stride, out_stride);
    }
    for (int c = 0; c < width; c++) store_quad(out + c * out_stride, silu_quad(&e, load_quad(out + c * out_stride)));
  }
}

typedef struct {
  const float *x;
  int stride; // of x and y
  const float *own; // dt, B and C of this scan, own_stride apart
  int own_stride, rank;
  const float *weight, *bias, *A, *D; // (rank, 16), (16), (N, 16) times log2 e, (16) or null
  float *h, *y;
} Scan2d;

// As in scan.c: no state may become denormal.
static const float LEAST_DECAY = -30.f, REST = 1e-24f;

// Positions whose steps are computed before they are scanned, two at a time.
enum { SPAN = 64 };

// bias + W · own of `positions` ≤ 2 positions. Four sums of a column alone would each wait for the last addition.
INLINE void step_inputs(int positions, const Scan2d *s, const float *own, int next, float *dt) {
  Quad d[2];
  UNROLL for (int t = 0; t < positions; t++) d[t] = load_quad(s->bias);
  const float *weight = s->weight;
  ROLLED for (int r = 0; r < s->rank; r++, weight += CHANNELS) {
    UNROLL for (int t = 0; t < positions; t++) {
      const v128_t v = load_splat(own + t * next + r);
      EACH(j) d[t].v[j] = add(d[t].v[j], mul(load(weight + 4 * j), v));
    }
  }
  UNROLL for (int t = 0; t < positions; t++) store_quad(dt + t * CHANNELS, d[t]);
}

// dt = softplus(bias + W · own) of positions p, p + step …, (count, 16); dt has room for an even number. By themselves these loops are
// short enough for the CPU to have several positions in work at once; as one, or with the scan, their chain of some 200 dependent cycles
// is not.
INLINE void steps_of(const Exp2 *k, const Scan2d *s, int p, int step, int count, float *dt) {
  float exps[SPAN * CHANNELS];
  const float *own = s->own + p * s->own_stride;
  const int next = step * s->own_stride, end = count * CHANNELS, even = (count + 1) / 2 * 2 * CHANNELS;
  int i = 0;
  for (; i + CHANNELS < end; i += 2 * CHANNELS, own += 2 * next) step_inputs(2, s, own, next, dt + i);
  if (i < end) {
    step_inputs(1, s, own, next, dt + i);
    store_quad(dt + i + CHANNELS, splat_quad(0.f));
  }
  for (i = 0; i < even; i += CHANNELS) store_quad(exps + i, softplus_exp(k, load_quad(dt + i)));
  for (i = 0; i < even; i += 2 * CHANNELS) {
    const Quad e[2] = {load_quad(exps + i), load_quad(exps + i + CHANNELS)};
    Quad log[2];
    log1p_quads(2, e, log);
    UNROLL for (int q = 0; q < 2; q++) store_quad(dt + i + q * CHANNELS, softplus_sum(load_quad(dt + i + q * CHANNELS), log[q]));
  }
}

INLINE void scan_position(int N, const Exp2 *k, const Scan2d *s, v128_t rest, int p, Quad dt) {
  const float *x = s->x + p * s->stride, *B = s->own + p * s->own_stride + s->rank, *C = B + N;
  float *y = s->y + p * s->stride;
  Quad u, sum;
  EACH(i) u.v[i] = mul(dt.v[i], load(x + 4 * i));
  if (s->D) EACH(i) sum.v[i] = mul(load(s->D + 4 * i), load(x + 4 * i));
  else sum = load_quad(y);
  ROLLED for (int n = 0; n < N; n++) {
    const v128_t b = load_splat(B + n), c = load_splat(C + n);
    const Quad h = load_quad(s->h + n * CHANNELS);
    Quad a, next;
    EACH(i) a.v[i] = mul(dt.v[i], load(s->A + n * CHANNELS + 4 * i));
    a = exp2_quad(k, a);
    EACH(i) next.v[i] = add(mul(a.v[i], h.v[i]), add(mul(b, u.v[i]), rest));
    store_quad(s->h + n * CHANNELS, next);
    EACH(i) sum.v[i] = add(sum.v[i], mul(c, next.v[i]));
  }
  store_quad(y, sum);
}

INLINE void scan_span(int N, const Exp2 *k, const Scan2d *s, v128_t rest, int p, int step, int count, const float *dt) {
  for (int i = 0; i < count; i++, p += step) scan_position(N, k, s, rest, p, load_quad(dt + i * CHANNELS));
}

// y += C h, or y = D x + C h where D is given, along one of the four orders. h: room for (N, 16).
EXPORT(scan_2d)
void scan_2d(const float *x, int stride, int height, int width, int order, const float *own, int own_stride, int rank, const float *weight,
             const float *bias, const float *A, const float *D, float *h, float *y, int N) {
  float dt[SPAN * CHANNELS];
  const Exp2 softplus = exp2_constants(-60.f), decay = exp2_constants(LEAST_DECAY);
  const v128_t rest = held(splat(REST));
  const Scan2d s = {x, stride, own, own_stride, rank, weight, bias, A, D, h, y};
  const int by_column = order % 2, sign = order < 2 ? 1 : -1;
  const int lines = by_column ? width : height, length = by_column ? height : width;
  const int step = sign * (by_column ? width : 1), next_line = sign * (by_column ? 1 : width);
  for (int i = 0; i < N * CHANNELS; i += 4) store(h + i, splat(0.f));
  int first = sign > 0 ? 0 : height * width - 1;
  for (int line = 0; line < lines; line++, first += next_line) {
    for (int at = 0; at < length; at += SPAN) {
      const int p = first + at * step, count = length - at < SPAN ? length - at : SPAN;
      steps_of(&softplus, &s, p, step, count, dt);
      if (N == 1) scan_span(1, &decay, &s, rest, p, step, count, dt);
      else if (N == 16) scan_span(16, &decay, &s, rest, p, step, count, dt);
      else scan_span(N, &decay, &s, rest, p, step, count, dt);
    }
  }
}

// x ← x · silu(z), `width` values of a row.
EXPORT(gate) void gate(float *x, int stride, const float *z, int z_stride, int tokens, int width) {
  const Exp2 k = exp2_constants(-60.f);
  for (int t = 0; t < tokens; t++, x += stride, z += z_stride) {
    for (int i = 0; i < width; i += CHANNELS) {
      Quad v = load_some(x + i, width - i), g = silu_quad(&k, load_some(z + i, width - i));
      EACH(j) v.v[j] = mul(v.v[j], g.v[j]);
      store_some(x + i, width - i, v);
    }
  }
}
