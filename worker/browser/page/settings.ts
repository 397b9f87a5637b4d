import type { GenerateOptions } from "../client/index.ts";
import { byId } from "./dom.ts";

/** What the visitor set. A field that is empty or out of its range falls back to the client's default. */
export function generateOptions(): GenerateOptions {
  const number = (id: string): number | undefined => {
    const input = byId<HTMLInputElement>(id);
    return input.value === "" || !input.validity.valid ? undefined : input.valueAsNumber;
  };
  const options = {
    maxTokens: number("tokens"),
    temperature: number("temperature"),
    topP: number("top-p"),
    seed: number("seed"),
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
