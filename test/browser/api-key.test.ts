import { expect, test } from "vitest";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();

test("setApiKey: another key for what is asked from then on, nothing loaded anew; what is no key is refused", async () => {
  const page = await blankPage(browser.current);
  await page.route("**/v1/**", (route) =>
    route.request().headers().authorization === "Bearer right"
      ? route.continue()
      : route.fulfill({ status: 401, json: { error: { message: "send a key" } } }),
  );
  const workers = page.workers().length;
  const told = await page.evaluate(async (url) => {
    const model = await loadModel(url, { backend: "rest" });
    const ask = () => model.generate("A", { maxTokens: 1 }).result.then(({ completionTokens }) => completionTokens, (error) => error.status); // biome-ignore format: a line
    const said = [await ask()];
    for (const key of ["right", undefined]) {
      await model.setApiKey(key);
      said.push(await ask());
    }
    const refused = await model.setApiKey(5 as never).catch((error: Error) => `${error.name}: ${error.message}`);
    return { said, refused };
  }, packageUrl(site.small));
  expect(told.said).toEqual([401, 1, 401]);
  expect(told.refused).toBe("ParameterError: apiKey is 5: it must be a text, or undefined for none");
  expect(page.workers().length).toBe(workers + 1);
  await page.context().close();
});
