/**
 * Random weights of a Mamba by tensor name, the same on every call. Of trained models' size, so that no value overflows or decays into
 * denormals, and all different, so that a tensor in another's place shows.
 */
export function randomValues(name: string, shape: readonly number[]): Float32Array {
  const next = uniform(name);
  const cols = shape.at(-1) ?? 1;
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const fill = (value: (i: number) => number): Float32Array => {
    for (let i = 0; i < values.length; i++) values[i] = value(i);
    return values;
  };
  if (/norm(_f)?\.weight$|\.D$/.test(name)) return fill(() => next(0.5, 1.5));
  if (name.endsWith(".A")) return fill((i) => -(1 + (i % cols)) * next(0.5, 1.5));
  // softplus(−4.6) is 0.01: steps of 0.001 to 0.1 are what models start from.
  if (name.endsWith("dt_proj.bias")) return fill(() => next(-6.9, -2.3));
  const size = shape.length === 1 ? 0.1 : Math.sqrt(3 / cols);
  return fill(() => next(-size, size));
}

/** Uniform numbers from a hash of the seed (xorshift32). */
function uniform(seed: string): (low: number, high: number) => number {
  let x = 0x9e3779b9;
  for (const c of seed) x = Math.imul(x ^ c.charCodeAt(0), 0x01000193);
  x ||= 1;
  return (low, high) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return low + (high - low) * ((x >>> 0) / 2 ** 32);
  };
}
