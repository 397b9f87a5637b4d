/** Functions that several kernels share. */
export const MATH = /* wgsl */ `
fn silu(v: f32) -> f32 { return v / (1.0 + exp(-v)); }

// max(v, 0) + log(1 + e^−|v|) with log(1 + e) = 2·atanh(e / (2 + e)), whose series ends soon for e ≤ 1: no digits are lost anywhere.
fn softplus(v: f32) -> f32 {
  let e = exp(-abs(v));
  let s = e / (2.0 + e);
  let q = s * s;
  return max(v, 0.0)
    + 2.0 * s * (1.0 + q * (0.33333334 + q * (0.2 + q * (0.14285715 + q * (0.11111111 + q * (0.09090909 + q * 0.07692308))))));
}
`;

/** An offset in a record that says that there is no such thing. */
export const NONE = 0xffffffff;

/**
 * v Φ(v) = max(v, 0) − |v| Φ(−|v|), Φ(−√2 z) = ½ erfc(z), and erfc(z) is e^(−z²) times a polynomial in 1 / (1 + p z), within 1.5e-7
 * (Abramowitz & Stegun 7.1.26); and the tanh form, v σ(2 √(2/π) (v + 0.044715 v³)).
 */
export const GELU = /* wgsl */ `
fn gelu(v: f32) -> f32 {
  let z = abs(v);
  let t = 1.0 / (1.0 + 0.23164189 * z);
  let p = (((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592;
  return max(v, 0.0) - 0.5 * z * p * t * exp(-0.5 * z * z);
}
fn gelu_tanh(v: f32) -> f32 { return v / (1.0 + exp(min(-1.5957691 * (v + 0.044715 * v * v * v), 80.0))); }
`;

/** A sum over a workgroup of 64, which all of its threads have afterwards. */
export const REDUCE = /* wgsl */ `
var<workgroup> red: array<f32, 64>;
fn total(lid: u32, value: f32) -> f32 {
  red[lid] = value;
  workgroupBarrier();
  for (var s = 32u; s > 0u; s >>= 1u) {
    if (lid < s) { red[lid] += red[lid + s]; }
    workgroupBarrier();
  }
  let sum = red[0];
  workgroupBarrier();
  return sum;
}
`;
