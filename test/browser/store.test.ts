import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { blankPage, packageUrl, site, useBrowser, visitBlank } from "./visit.ts";

const browser = useBrowser();

const load = (page: Page, id: string): Promise<string> =>
  page.evaluate(async (url) => {
    try {
      const model = await loadModel(url, { backend: "wasm" });
      await model.dispose();
      return model.info.id;
    } catch (error) {
      return `${(error as Error).name}: ${(error as Error).message}`;
    }
  }, packageUrl(id));

/** Names and sizes of the stored files of a package, and the packages. */
const stored = (page: Page, id: string): Promise<{ files: Record<string, number>; packages: string[] }> =>
  page.evaluate(async (id) => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("mamba-edge", { create: true });
    const files: Record<string, number> = {};
    const packages: string[] = [];
    for await (const name of (root as never as { keys(): AsyncIterable<string> }).keys()) packages.push(name);
    const folder = await root.getDirectoryHandle(id, { create: true });
    for await (const handle of (folder as never as { values(): AsyncIterable<FileSystemFileHandle> }).values()) {
      files[handle.name] = (await handle.getFile()).size;
    }
    return { files, packages };
  }, id);

test("an interrupted download goes on with what is missing, after a reload too; a second load fetches nothing", async () => {
  const page = await blankPage(browser.current);
  const fetched: string[] = [];
  let broken = true;
  await page.route(`**/weights/${site.large}/**`, async (route) => {
    const file = route.request().url().split("/").at(-1)!;
    fetched.push(file);
    if (broken && file === "shard-001.bin") {
      // The other one has arrived by then.
      await expect.poll(async () => Object.keys((await stored(page, site.large)).files)).toContain("shard-000.bin");
      await route.abort();
    } else await route.continue();
  });
  expect(await load(page, site.large)).toMatch(/^PackageError: .*shard-001.bin: cannot be fetched/);
  const half = await stored(page, site.large);
  expect(Object.keys(half.files)).toContain("shard-000.bin");
  expect(Object.keys(half.files)).not.toContain("shard-001.bin");
  broken = false;
  fetched.length = 0;
  await visitBlank(page);
  expect(await load(page, site.large)).toBe(site.large);
  expect(fetched.filter((file) => file.startsWith("shard"))).toEqual(["shard-001.bin"]);
  const whole = await stored(page, site.large);
  expect(Object.keys(whole.files).filter((file) => file.endsWith(".part"))).toEqual([]);
  fetched.length = 0;
  expect(await load(page, site.large)).toBe(site.large);
  expect(fetched.filter((file) => file !== "manifest.msgpack")).toEqual([]);
});

test("an altered shard is refused, and not kept; one altered in storage is fetched again", async () => {
  const page = await blankPage(browser.current);
  let altered = true;
  await page.route(`**/weights/${site.story}/shard-000.bin`, async (route) => {
    if (!altered) return route.continue();
    const response = await route.fetch();
    const body = await response.body();
    body[body.length >> 1]! ^= 1;
    return route.fulfill({ response, body });
  });
  expect(await load(page, site.story)).toMatch(/^PackageError: .*shard-000.bin: its sha256 is .*altered or cut/);
  expect(Object.keys((await stored(page, site.story)).files)).not.toContain("shard-000.bin");
  altered = false;
  expect(await load(page, site.story)).toBe(site.story);
  await page.evaluate(async (id) => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("mamba-edge");
    const file = await (await root.getDirectoryHandle(id)).getFileHandle("shard-000.bin");
    const writer = await file.createWritable({ keepExistingData: true });
    await writer.write({ type: "write", position: 1000, data: new Uint8Array([1, 2, 3, 4]) });
    await writer.close();
  }, site.story);
  expect(await load(page, site.story)).toBe(site.story);
});

test("a package that storage does not hold is an error with the numbers; old versions go", async () => {
  const page = await blankPage(browser.current);
  const old = `${site.story.split("@")[0]}@000000000000`;
  await page.evaluate(async (old) => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("mamba-edge", { create: true });
    await root.getDirectoryHandle(old, { create: true });
    await root.getDirectoryHandle("other@000000000000", { create: true });
  }, old);
  expect(await load(page, site.story)).toBe(site.story);
  const { packages } = await stored(page, site.story);
  expect(packages.sort()).toEqual(["other@000000000000", site.story].sort());

  const full = await blankPage(
    browser.current,
    "navigator.storage.estimate = async () => ({ quota: 1e6, usage: 4e5 });",
  );
  expect(await load(full, site.large)).toMatch(
    /^StorageError: c-large@\w+ needs \d+\.\d MB of storage; the browser lets this site keep 1\.0 MB, 0\.4 MB are in use/,
  );
});
