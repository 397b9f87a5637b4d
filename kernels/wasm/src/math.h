#pragma once
#include "simd.h"

// Elementary functions made of additions and multiplications in a fixed order, so that every host gives the same bits.

#define LOG2_E 1.44269504f

// Constants of exp2_quad. `least` is the smallest exponent: below it the result stays 2^least. WebAssembly cannot flush denormals, which
// cost 4–20×, so they must not arise.
typedef struct {
  v128_t least, shift, c1, c2, c3, c4, c5, one;
} Exp2;

INLINE Exp2 exp2_constants(float least) {
  return (Exp2){
      .least = held(splat(least)),
      .shift = held(splat(12582912.f)), // 1.5·2^23: adding it rounds to a whole number, left in the low bits
      .c1 = held(splat(6.93146978e-1f)),
      .c2 = held(splat(2.40222421e-1f)),
      .c3 = held(splat(5.55073374e-2f)),
      .c4 = held(splat(9.67151269e-3f)),
      .c5 = held(splat(1.32647272e-3f)),
      .one = held(splat(1.f)),
  };
}

// 2^t for t ≤ 60, relative error 2e-7. t = n + f, n whole, |f| ≤ ½; n goes to the exponent, and 2^f is a minimax polynomial that is 1
// at 0, so that slow decays do not drift: (1 + c1 f) + f² ((c2 + c3 f) + f² (c4 + c5 f)).
INLINE Quad exp2_quad(const Exp2 *k, Quad t) {
  Quad n, f, p, f2;
  EACH(i) t.v[i] = larger(t.v[i], k->least);
  abreast(&t);
  EACH(i) n.v[i] = add(t.v[i], k->shift);
  abreast(&n);
  EACH(i) f.v[i] = sub(t.v[i], sub(n.v[i], k->shift));
  abreast(&f);
  EACH(i) p.v[i] = mul_add(k->c5, f.v[i], k->c4);
  abreast(&p);
  EACH(i) f2.v[i] = mul(f.v[i], f.v[i]);
  abreast(&f2);
  EACH(i) p.v[i] = mul_add(p.v[i], f2.v[i], mul_add(k->c3, f.v[i], k->c2));
  abreast(&p);
  EACH(i) p.v[i] = mul_add(p.v[i], f2.v[i], mul_add(k->c1, f.v[i], k->one));
  abreast(&p);
  EACH(i) p.v[i] = wasm_i32x4_add(p.v[i], wasm_i32x4_shl(n.v[i], 23));
  return p;
}

// silu(x) = x / (1 + e^-x)
INLINE Quad silu_quad(const Exp2 *k, Quad x) {
  Quad t;
  EACH(i) t.v[i] = smaller(mul(x.v[i], splat(-LOG2_E)), splat(60.f));
  Quad e = exp2_quad(k, t);
  EACH(i) x.v[i] = wasm_f32x4_div(x.v[i], add(e.v[i], k->one));
  return x;
}

// log(1 + e) for e in 0..1: e times a minimax polynomial, relative error 2e-7 down to the smallest e. Two quads in turns do not wait for
// one another's steps.
INLINE void log1p_quads(int quads, const Quad *e, Quad *p) {
  static const float coefficients[] = {-2.95052372e-2f, 7.82259478e-2f,  -1.36632453e-1f, 1.91060064e-1f,
                                       -2.48429821e-1f, 3.33190968e-1f, -4.99994931e-1f, 1.f};
  UNROLL for (int q = 0; q < quads; q++) p[q] = splat_quad(5.23269411e-3f);
  UNROLL for (int c = 0; c < 8; c++) UNROLL for (int q = 0; q < quads; q++) {
    EACH(i) p[q].v[i] = mul_add(p[q].v[i], e[q].v[i], splat(coefficients[c]));
    abreast(&p[q]);
  }
  UNROLL for (int q = 0; q < quads; q++) EACH(i) p[q].v[i] = mul(p[q].v[i], e[q].v[i]);
}

// softplus(x) = log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), in two halves.
INLINE Quad softplus_exp(const Exp2 *k, Quad x) {
  EACH(i) x.v[i] = mul(wasm_f32x4_abs(x.v[i]), splat(-LOG2_E));
  return exp2_quad(k, x);
}
INLINE Quad softplus_sum(Quad x, Quad log) {
  EACH(i) x.v[i] = add(larger(x.v[i], splat(0.f)), log.v[i]);
  return x;
}
INLINE Quad softplus_quad(const Exp2 *k, Quad x) {
  const Quad e = softplus_exp(k, x);
  Quad log;
  log1p_quads(1, &e, &log);
  return softplus_sum(x, log);
}
