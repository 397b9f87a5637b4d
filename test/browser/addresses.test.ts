import { readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type DevServer, startDevServer } from "../../scripts/lib/dev-server.ts";
import { Edge } from "../../worker/browser/host/edge.ts";
import { blankPage, site, useBrowser } from "./visit.ts";

const browser = useBrowser();
const dist = fileURLToPath(new URL("../../dist/", import.meta.url));

/** A deployment of the same packages that asks for a key, for their files too. */
let locked: DevServer;
beforeAll(async () => {
  const config = `${dist}browser-test-locked.toml`;
  const open = await readFile(`${dist}browser-test.toml`, "utf8");
  await writeFile(config, open.replace("run_worker_first = [", 'run_worker_first = ["/weights/*", '));
  locked = await startDevServer({ config, vars: { API_KEYS: "the-key", PRIVATE_WEIGHTS: "1", LOG_LEVEL: "error" } });
  await rm(config);
});
afterAll(() => locked?.[Symbol.asyncDispose]());

test("a key that is missing or wrong is an EdgeError 401 that says where to pass one; with it private packages load", async () => {
  const page = await blankPage(browser.current);
  const seen = await page.evaluate(
    async ([url, images]) => {
      const failure = (error: Error & { status?: number }): unknown[] => [error.name, error.status, error.message];
      const wrong = { apiKey: "another" };
      const refused = [
        await loadModel(url!).catch(failure),
        await loadModel(url!, { backend: "rest" }).catch(failure),
        await loadModel(url!, { store: false, ...wrong }).catch(failure),
        await loadModel(`${url}@000000000000`, wrong).catch(failure),
        await loadImageModel(images!).catch(failure),
      ];
      const texts: string[] = [];
      for (const backend of ["wasm", "rest"] as const) {
        const model = await loadModel(url!, { backend, apiKey: "the-key" });
        texts.push((await model.generate("Once", { seed: 3, maxTokens: 8 }).result).text);
        await model.dispose();
      }
      return { refused, texts };
    },
    [`${locked.url}/weights/a-story`, `${locked.url}/weights/vmamba`],
  );
  const missing = [
    "EdgeError",
    401,
    expect.stringMatching(/^http\S+ asks for an API key: pass one as apiKey, an option/),
  ];
  const other = [
    "EdgeError",
    401,
    expect.stringMatching(/^http\S+ does not take the API key that was passed as apiKey/),
  ];
  expect(seen.refused).toEqual([missing, missing, other, other, missing]);
  expect(seen.texts[0]!.length).toBeGreaterThan(0);
  expect(seen.texts[1]).toBe(seen.texts[0]);
});

test("so it is where only the API asks for a key", async () => {
  const refused = (key?: string) => new Edge(locked.url, key).createSession(site.story);
  await expect(refused()).rejects.toMatchObject({
    name: "EdgeError",
    status: 401,
    message: expect.stringMatching(/pass one as apiKey, .* \(it says: no API key was sent/),
  });
  await expect(refused("another")).rejects.toMatchObject({ name: "EdgeError", status: 401 });
  expect((await refused("the-key")).id).toMatch(/^sess_/);
});

test("the key goes to its own deployment alone", async () => {
  const sent: (string | undefined)[] = [];
  const { fetch } = globalThis;
  globalThis.fetch = async (_, init) => {
    sent.push((init?.headers as Record<string, string> | undefined)?.authorization);
    return new Response("no", { status: 401 });
  };
  try {
    const edge = new Edge("https://own.example/", "the-key");
    expect((await edge.fetchFile("https://cdn.example/weights/index.json", {})).status).toBe(401);
    expect(sent).toEqual([undefined]);
    await expect(edge.fetchFile("https://own.example/weights/index.json", {})).rejects.toMatchObject({ status: 401 });
    expect(sent).toEqual([undefined, undefined, "Bearer the-key"]);
  } finally {
    globalThis.fetch = fetch;
  }
});

test("an address that is no package's is told how packages are addressed, and which there are", async () => {
  const page = await blankPage(browser.current);
  const addresses = ["", "/", "/weights", "/weights/", "/v1", "/weights/nobody"].map((path) => `${site.url}${path}`);
  const messages = await page.evaluate(async (urls) => {
    const failure = (error: Error): string => `${error.name}: ${error.message}`;
    const seen: unknown[] = [];
    for (const url of urls) for (const load of [loadModel, loadImageModel]) seen.push(await load(url).catch(failure));
    return seen;
  }, addresses);
  const index: { name: string }[] = await (await fetch(`${site.url}/weights/index.json`)).json();
  const names = index.map(({ name }) => name);
  expect(names).toContain("a-story");
  const wanted = `manifest.msgpack: got status 404, there is no package: give a package's folder, such as ${site.url}/weights/${names[0]}; those here are ${names.join(", ")}`;
  expect(messages).toHaveLength(12);
  for (const message of messages) expect(message).toMatch(/^PackageError: /);
  for (const message of messages) expect(message).toContain(wanted);
});
