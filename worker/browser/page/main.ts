import { openLearnPanel } from "./learn/panel.ts";
import { playground } from "./playground.ts";
import { openSeePanel } from "./see/panel.ts";
import { tabs } from "./tabs.ts";

const app = await playground();
tabs((tab) => {
  if (tab === "write" || tab === "chat") app.setMode(tab);
  if (tab === "learn") void openLearnPanel();
  if (tab === "see") void openSeePanel();
});
