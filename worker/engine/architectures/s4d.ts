/**
 * The steps of S4D's recurrence from its parameters (Gu et al. 2022, zero-order hold): with A = −exp(log_A_real) + i·A_imag and Δ =
 * exp(log_dt), decay = exp(Δ A) and C = 2 C (exp(Δ A) − 1) / A. The 2 stands for the conjugate half that is not stored.
 *
 * @param logDt (channels)
 * @param logReal (channels, N)
 * @param imag (channels, N)
 * @param C (channels, N, 2): real, imaginary
 * @returns both (channels, N, 2)
 */
export function discretize(
  logDt: Float32Array,
  logReal: Float32Array,
  imag: Float32Array,
  C: Float32Array,
): { decay: Float32Array; C: Float32Array } {
  const N = logReal.length / logDt.length;
  const out = { decay: new Float32Array(C.length), C: new Float32Array(C.length) };
  for (let j = 0; j < logReal.length; j++) {
    const dt = Math.exp(logDt[Math.floor(j / N)]!);
    const [re, im] = [-Math.exp(logReal[j]!), imag[j]!];
    const size = Math.exp(dt * re);
    const [dr, di] = [size * Math.cos(dt * im), size * Math.sin(dt * im)];
    // (decay − 1) / A, without the cancellation of 1 − 1 for a small Δ: e^x cos y − 1 = expm1(x) cos y − 2 sin²(y/2).
    const [nr, ni] = [Math.expm1(dt * re) * Math.cos(dt * im) - 2 * Math.sin((dt * im) / 2) ** 2, di];
    const norm = re * re + im * im;
    const [qr, qi] = [(nr * re + ni * im) / norm, (ni * re - nr * im) / norm];
    const [cr, ci] = [C[2 * j]!, C[2 * j + 1]!];
    out.decay[2 * j] = notTiny(dr);
    out.decay[2 * j + 1] = notTiny(di);
    out.C[2 * j] = 2 * (cr * qr - ci * qi);
    out.C[2 * j + 1] = 2 * (cr * qi + ci * qr);
  }
  return out;
}

/** f32 cannot see a smaller part of a state beside what a step adds to it; its products could be denormals, which are slow. */
function notTiny(v: number): number {
  return Math.abs(v) < 1e-9 ? 0 : v;
}
