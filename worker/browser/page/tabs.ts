import { byId } from "./dom.ts";

export type Tab = "write" | "chat" | "learn" | "see";
const ORDER: readonly Tab[] = ["write", "chat", "learn", "see"];

/** The tab list, by pointer and by arrow keys. */
export function tabs(onSelect: (tab: Tab) => void): void {
  const buttons = ORDER.map((tab) => byId<HTMLButtonElement>(`tab-${tab}`));
  const select = (index: number): void => {
    const tab = ORDER[index]!;
    const panel = buttons[index]!.getAttribute("aria-controls");
    for (const [i, button] of buttons.entries()) {
      button.setAttribute("aria-selected", String(i === index));
      button.tabIndex = i === index ? 0 : -1;
      const controlled = button.getAttribute("aria-controls")!;
      byId(controlled).hidden = controlled !== panel;
    }
    byId(panel!).setAttribute("aria-labelledby", buttons[index]!.id);
    onSelect(tab);
  };
  for (const [i, button] of buttons.entries()) {
    button.addEventListener("click", () => select(i));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step === undefined) return;
      const next = (i + step + ORDER.length) % ORDER.length;
      select(next);
      buttons[next]!.focus();
    });
  }
}
