import type { BrowserModel, ImageModel } from "../client/index.ts";
import { byId } from "./dom.ts";

const listeners = new Set<() => void>();
const given = (): string => byId<HTMLInputElement>("key").value.trim();

/** The key that the visitor gave in the page's head, for all tabs; nothing where none was given. */
export function access(): { readonly apiKey?: string } {
  const apiKey = given();
  return apiKey === "" ? {} : { apiKey };
}

/** With the key that is given now: it may be another one than the model was loaded with. */
export async function withKey<M extends BrowserModel | ImageModel>(loading: Promise<M>): Promise<M> {
  const model = await loading;
  await model.setApiKey(access().apiKey);
  return model;
}

/** @param listener called when another key has been typed */
export function onKey(listener: () => void): void {
  listeners.add(listener);
}

/** The key's field opens below the head, and closes when the visitor goes elsewhere. */
export function accessPanel(): void {
  const button = byId<HTMLButtonElement>("key-open");
  const panel = byId("access");
  const key = byId<HTMLInputElement>("key");
  let told = given();
  const show = (open: boolean): void => {
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) key.focus();
  };
  const close = (): void => {
    const inside = panel.contains(document.activeElement);
    tell();
    show(false);
    if (inside) button.focus();
  };
  function tell(): void {
    if (given() === told) return;
    told = given();
    for (const listener of listeners) listener();
  }
  button.addEventListener("click", () => (panel.hidden ? show(true) : close()));
  key.addEventListener("change", tell);
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" && event.key !== "Enter") return;
    // The button that has the focus then is not pressed by the same key.
    event.preventDefault();
    close();
  });
  document.addEventListener("click", ({ target }) => {
    const at = target as Node;
    if (panel.hidden || panel.contains(at) || button.contains(at)) return;
    tell();
    show(false);
  });
}

/** What went wrong, for who looks at this page: a key that is missing or wrong is typed here, and is no option of a call. */
export function inWords(error: Error & { readonly status?: number }): string {
  const { message, status } = error;
  if (status !== 401) return message;
  if (message.includes("no API keys are set")) {
    return "The edge has no API keys yet and answers nobody: who runs it sets them as API_KEYS.";
  }
  return given() === ""
    ? "The edge asks for an API key: type one under “API key”, at the top of this page."
    : "The edge does not know this API key: type another one under “API key”, at the top of this page.";
}
