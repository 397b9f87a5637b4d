import { openLearnPanel } from "./learn/panel.ts";
import { playground } from "./playground.ts";
import { tabs } from "./tabs.ts";

const app = await playground();
tabs((tab) => {
  if (tab === "write" || tab === "chat") app.setMode(tab);
  if (tab === "learn") void openLearnPanel();
});
