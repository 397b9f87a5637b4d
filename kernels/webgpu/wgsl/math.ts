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
