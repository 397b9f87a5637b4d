import type { GenerateOptions } from "../client/index.ts";
import { byId } from "./dom.ts";

const FIELDS = { maxTokens: "tokens", temperature: "temperature", topP: "top-p", seed: "seed" } as const;

/** From now on a number that cannot be is said below its field while it is typed. */
export function watchSettings(): void {
  for (const id of Object.values(FIELDS)) {
    const input = byId<HTMLInputElement>(id);
    input.addEventListener("input", () => void check(input));
  }
}

/**
 * What the visitor set. An empty field leaves the client's default, which it shows.
 * @throws Error that names the field, what was seen and what may be there; the field then has the focus
 */
export function generateOptions(): GenerateOptions {
  const options: Record<string, number> = {};
  for (const [name, id] of Object.entries(FIELDS)) {
    const input = byId<HTMLInputElement>(id);
    const fault = check(input);
    if (fault !== "") {
      byId<HTMLDetailsElement>("settings").open = true;
      input.focus();
      throw new Error(`${input.labels![0]!.firstChild!.textContent!.trim()}: ${fault}`);
    }
    if (input.value !== "") options[name] = input.valueAsNumber;
  }
  return options;
}

/** Says at the field what is wrong with it, and returns that. */
function check(input: HTMLInputElement): string {
  const fault = faultOf(input);
  byId(`${input.id}-fault`).textContent = fault;
  input.setAttribute("aria-invalid", String(fault !== ""));
  return fault;
}

/** Not the browser's own check: a temperature between two steps of the arrows is one too. */
function faultOf({ value, valueAsNumber, validity, min, max, dataset }: HTMLInputElement): string {
  const whole = dataset.whole !== undefined;
  const allowed = `${whole ? "a whole number" : "a number"} from ${min} to ${max}`;
  if (validity.badInput) return `this is no number; give ${allowed}, or nothing`;
  if (value === "") return "";
  const fits = valueAsNumber >= Number(min) && valueAsNumber <= Number(max);
  return fits && (!whole || Number.isInteger(valueAsNumber)) ? "" : `${value} cannot be; give ${allowed}, or nothing`;
}
