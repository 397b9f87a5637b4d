/** Loads that a thread has on its way at once where it sums parts. */
const AT_ONCE = 12;

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Sums in pairs, as no chain of additions needs to be: "(a + b) + (c + d)". */
function pairs(terms: readonly string[]): string {
  if (terms.length === 1) return terms[0]!;
  const half = Math.ceil(terms.length / 2);
  return `(${pairs(terms.slice(0, half))} + ${pairs(terms.slice(half))})`;
}

/**
 * Statements that add `count` parts to the variable `to`, as many at once as registers hold without harm.
 * @param at index in the array of the part named by an expression
 * @param used parts that are added, an expression: `count`, or 0u where there are none yet
 */
export function addParts(to: string, array: string, count: number, at: (part: string) => string, used: string): string {
  const most = Math.min(AT_ONCE, count);
  const batch = (first: string, n: number): string =>
    `${to} += ${pairs(range(n).map((i) => `${array}[${at(`(${first} + ${i}u)`)}]`))};`;
  const whole = count - (count % most);
  const rest = count - whole;
  return [
    `for (var p = 0u; p < min(${used}, ${whole}u); p += ${most}u) { ${batch("p", most)} }`,
    rest === 0 ? "" : `if (${used} > ${whole}u) { ${batch(`${whole}u`, rest)} }`,
  ].join("\n    ");
}
