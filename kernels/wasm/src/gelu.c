#include "math.h"
#include "rows.h"

// What stands between the matrices of an MLP and behind S4D. x (tokens, stride), `width` values of a row, in place.

// x · σ(2 √(2/π) (x + 0.044715 x³)): GELU in the tanh form, of GPT-2.
EXPORT(gelu_tanh) void gelu_tanh(float *x, int stride, int tokens, int width) {
  const Exp2 k = exp2_constants(-60.f);
  const v128_t slope = held(splat(-2.f * 0.797884561f * LOG2_E)), cubic = held(splat(0.044715f));
  for (int t = 0; t < tokens; t++, x += stride) {
    for (int i = 0; i < width; i += CHANNELS) {
      Quad v = load_some(x + i, width - i), e;
      EACH(j) e.v[j] = mul(mul(v.v[j], slope), mul_add(mul(v.v[j], v.v[j]), cubic, k.one));
      EACH(j) e.v[j] = smaller(e.v[j], splat(60.f));
      e = exp2_quad(&k, e);
      EACH(j) v.v[j] = wasm_f32x4_div(v.v[j], add(e.v[j], k.one));
      store_some(x + i, width - i, v);
    }
  }
}

// x Φ(x) = max(x, 0) − |x| Φ(−|x|), GELU as it is defined. Φ(−√2 z) = ½ erfc(z), and erfc(z) is e^(−z²) times a polynomial in
// 1 / (1 + p z), within 1.5e-7 (Abramowitz & Stegun 7.1.26).
INLINE Quad gelu_quad(const Exp2 *k, Quad x) {
  static const float coefficients[] = {0.5f * -1.453152027f, 0.5f * 1.421413741f, 0.5f * -0.284496736f, 0.5f * 0.254829592f};
  Quad e, t, p;
  EACH(i) t.v[i] = wasm_f32x4_div(k->one, mul_add(wasm_f32x4_abs(x.v[i]), splat(0.3275911f * 0.707106781f), k->one));
  abreast(&t);
  p = splat_quad(0.5f * 1.061405429f);
  UNROLL for (int c = 0; c < 4; c++) {
    EACH(i) p.v[i] = mul_add(p.v[i], t.v[i], splat(coefficients[c]));
    abreast(&p);
  }
  EACH(i) p.v[i] = mul(mul(p.v[i], t.v[i]), wasm_f32x4_abs(x.v[i]));
  abreast(&p);
  EACH(i) e.v[i] = mul(mul(x.v[i], x.v[i]), splat(-0.5f * LOG2_E));
  e = exp2_quad(k, e);
  EACH(i) x.v[i] = sub(larger(x.v[i], splat(0.f)), mul(p.v[i], e.v[i]));
  return x;
}

EXPORT(gelu) void gelu(float *x, int stride, int tokens, int width) {
  const Exp2 k = exp2_constants(-60.f);
  for (int t = 0; t < tokens; t++, x += stride) {
    for (int i = 0; i < width; i += CHANNELS) store_some(x + i, width - i, gelu_quad(&k, load_some(x + i, width - i)));
  }
}

// u += a · σ(b): the rows of ab are a, then b, `dim` values each (Dauphin et al. 2017).
EXPORT(gated_add) void gated_add(const float *ab, int stride, int tokens, int dim, float *u, int u_stride) {
  const Exp2 k = exp2_constants(-60.f);
  for (int t = 0; t < tokens; t++, ab += stride, u += u_stride) {
    for (int i = 0; i < dim; i += CHANNELS) {
      Quad a = load_some(ab + i, dim - i), e = load_some(ab + dim + i, dim - i), v = load_some(u + i, dim - i);
      EACH(j) e.v[j] = smaller(mul(e.v[j], splat(-LOG2_E)), splat(60.f));
      e = exp2_quad(&k, e);
      EACH(j) v.v[j] = add(v.v[j], wasm_f32x4_div(a.v[j], add(e.v[j], k.one)));
      store_some(u + i, dim - i, v);
    }
  }
}
