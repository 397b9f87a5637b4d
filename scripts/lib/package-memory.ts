import type { Encoding } from "../../kernels/backend.ts";
import { planWasm } from "../../kernels/wasm/index.ts";
import { limitsOf } from "../../worker/edge/limits.ts";
import { memoryOfPackage, type PackageMemory, type PackageOutline } from "../../worker/engine/memory.ts";
import { QUANTIZATIONS } from "./open-model.ts";

/** What a Worker has when wrangler.toml says nothing else. */
const { memoryBudget: BUDGET, maxSequences: SEQUENCES } = limitsOf({});

/** Bytes that WebAssembly can address, wherever it runs. */
const ADDRESSABLE = 2 ** 32;

/**
 * Whether a package fits a Worker, and what to do where it does not.
 * @param outlineAt what the package would be at another quantization
 * @returns one line or several, each with its end
 */
export async function memoryReport(
  outline: PackageOutline & { readonly quantization: Encoding },
  outlineAt: (quantization: Encoding) => Promise<PackageOutline>,
): Promise<string> {
  const memory = memoryOfPackage(outline, planWasm);
  const need = memory.need(SEQUENCES);
  const takes = `memory: ${mb(need)} with ${SEQUENCES} sequences at a time`;
  const budget = `a Worker, whose models may take ${mb(BUDGET)} of its 128 MB`;
  if (need <= BUDGET) return `${takes}: fits ${budget}\n`;

  const smaller = QUANTIZATIONS.slice(QUANTIZATIONS.indexOf(outline.quantization) + 1);
  const others = await Promise.all(
    smaller.map(async (quant) => ({ quant, memory: memoryOfPackage(await outlineAt(quant), planWasm) })),
  );
  const ways: string[] = [];
  const fits = (given: string[], { need, mostSequences }: PackageMemory): void => {
    const most = Math.min(SEQUENCES, mostSequences(BUDGET));
    const fewer = most < SEQUENCES ? [`MAX_SEQUENCES = ${most} under [vars] of wrangler.toml`] : [];
    ways.push(`it fits with ${[...given, ...fewer].join(" and ")}: ${mb(need(most))}`);
  };
  const other = others.find((o) => o.memory.mostSequences(BUDGET) > 0);
  if (memory.mostSequences(BUDGET) > 0) fits([], memory);
  if (other !== undefined) fits([`--quant ${other.quant}`], other.memory);
  if (ways.length === 0) {
    const { quant, memory: least } = others.at(-1) ?? { quant: outline.quantization, memory };
    ways.push(`no setting makes it fit: with --quant ${quant} and one sequence it needs ${mb(least.need(1))}`);
  }
  const runs = [{ quant: outline.quantization, memory }, ...others].find((o) => o.memory.need(SEQUENCES) < ADDRESSABLE);
  if (runs !== undefined) {
    const as = runs.memory === memory ? "as it is" : `with --quant ${runs.quant}`;
    const here = `npm start -- --var MEMORY_BUDGET_MB:${Math.ceil(runs.memory.need(SEQUENCES) / 1e6)}`;
    ways.push(
      `it runs ${as} where there is more memory: on your own machine (${here}), and in browsers (within loadModel's memoryBudget)`,
    );
  }
  return `${takes}: does not fit ${budget}\n${ways.map((way) => `- ${way}\n`).join("")}`;
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
