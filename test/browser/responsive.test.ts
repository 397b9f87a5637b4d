import { expect, test } from "vitest";
import { blankPage, site, useBrowser } from "./visit.ts";

const browser = useBrowser();

test("the page's thread is never taken for more than 8 ms by the client while it loads and generates", async () => {
  const page = await blankPage(browser.current);
  const session = await page.context().newCDPSession(page);
  const tasks: number[] = [];
  session.on("Tracing.dataCollected", ({ value }) => {
    for (const event of value as unknown as TraceEvent[]) tasks.push(...callbackMs(event));
  });
  await session.send("Tracing.start", {
    traceConfig: { includedCategories: ["devtools.timeline", "v8"] },
    transferMode: "ReportEvents",
  } as never);
  await page.evaluate(async (url) => {
    const model = await loadModel(url, { backend: "wasm" });
    const { finishReason } = await model.generate("Once upon a time", { maxTokens: 200, seed: 1 }).result;
    if (finishReason !== "length") throw new Error(`ended early, by ${finishReason}: give another seed`);
    await model.dispose();
  }, `${site.url}/weights/${site.large}`);
  const ended = new Promise((resolve) => session.once("Tracing.tracingComplete", resolve));
  await session.send("Tracing.end");
  await ended;
  expect(tasks.length).toBeGreaterThan(50);
  expect(Math.max(...tasks)).toBeLessThan(8);
});

interface TraceEvent {
  readonly name: string;
  /** microseconds of the thread's own time, whatever else the machine does. */
  readonly tdur?: number;
  readonly args?: { readonly data?: { readonly url?: string } };
}

/** Milliseconds of calls into the client's own script. */
function callbackMs({ name, tdur = 0, args }: TraceEvent): number[] {
  return name === "FunctionCall" && args?.data?.url?.endsWith("/client.js") === true ? [tdur / 1000] : [];
}
