import { byId } from "./dom.ts";

/** The key that the visitor gave in the page's head, for all tabs; nothing where none was given. */
export function access(): { readonly apiKey?: string } {
  const apiKey = byId<HTMLInputElement>("key").value.trim();
  return apiKey === "" ? {} : { apiKey };
}
