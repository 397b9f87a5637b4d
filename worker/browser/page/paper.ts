import { byId, element } from "./dom.ts";
import type { StoredText } from "./texts.ts";

/** Chips of the texts, the newest last. */
export function drawShelf(texts: readonly StoredText[], current: StoredText, onOpen: (id: string) => void): void {
  byId("texts").replaceChildren(
    ...texts.map((text, i) => {
      const chip = element("button", { type: "button" }, `${i + 1}. ${titleOf(text)}`);
      chip.setAttribute("aria-pressed", String(text.id === current.id));
      chip.addEventListener("click", () => onOpen(text.id));
      return element("li", {}, chip);
    }),
  );
}

function titleOf({ turns, mode, state }: StoredText): string {
  const beginning = turns[0]?.text.trim().slice(0, 60) ?? "";
  if (beginning !== "") return beginning;
  return state !== undefined ? "Opened state" : mode === "chat" ? "New chat" : "New text";
}

/** The whole text: what the visitor gave, what the model wrote. */
export function drawPaper({ turns, mode, state }: StoredText): void {
  const paper = byId("paper");
  paper.classList.toggle("chat", mode === "chat");
  const turn = (given: boolean, text: string): HTMLElement =>
    element(
      mode === "chat" ? "div" : "span",
      { className: given ? "turn given" : "turn" },
      document.createTextNode(text),
    );
  const empty =
    state !== undefined
      ? "The model remembers a text here. The text itself is not in its state: go on with it below."
      : mode === "chat"
        ? "Say something to begin."
        : "Begin a story below; the model goes on with it.";
  paper.replaceChildren(
    ...(turns.length === 0
      ? [element("p", { className: "empty" }, empty)]
      : turns.map(({ given, text }) => turn(given, text))),
  );
  paper.scrollTop = paper.scrollHeight;
}

/** Adds to the last turn without drawing the others again, and follows it when its end is in view. */
export function extendPaper(text: string): void {
  const paper = byId("paper");
  const following = paper.scrollHeight - paper.scrollTop - paper.clientHeight < 40;
  (paper.lastElementChild?.lastChild as Text | null)?.appendData(text);
  if (following) paper.scrollTop = paper.scrollHeight;
}
