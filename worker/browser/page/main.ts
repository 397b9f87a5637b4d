import { accessPanel } from "./access.ts";
import { byId } from "./dom.ts";
import { openLearnPanel } from "./learn/panel.ts";
import { playground } from "./playground.ts";
import { openSeePanel } from "./see/panel.ts";
import { type Tab, tabs } from "./tabs.ts";

const PLACES = "in your browser and at the edge.";
const TAGLINES: Record<Tab, string> = {
  write: `A language model whose memory never grows, ${PLACES}`,
  chat: `A language model whose memory never grows, ${PLACES}`,
  learn: `Models that find a rule from examples in their prompt, ${PLACES}`,
  see: `A model that reads a picture in four directions, ${PLACES}`,
};

accessPanel();
const opened = playground();
// The tabs answer before the list of models is there.
tabs((tab) => {
  const text = tab === "write" || tab === "chat";
  byId("tagline").textContent = TAGLINES[tab];
  // Its cards are about the language model alone.
  byId("side").hidden = !text;
  document.querySelector("main")!.classList.toggle("alone", !text);
  if (text) void opened.then((app) => app.setMode(tab));
  if (tab === "learn") void openLearnPanel();
  if (tab === "see") void openSeePanel();
});
await opened; // what fails there is seen as the page's error
