import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import { emptyKernels, realAdapter } from "./sabotage.ts";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();

declare global {
  var reached: () => Promise<void>;
}

/** A server of the package that gives only the first half of the shards from a given request for one on. */
async function stallingServer(from: number) {
  const stalled: ServerResponse[] = [];
  let requests = 0;
  let shards = 0;
  const server = createServer(async ({ url = "" }, response) => {
    requests++;
    const stalls = url.includes("shard-") && ++shards >= from;
    const upstream = await fetch(site.url + url);
    const bytes = new Uint8Array(await upstream.arrayBuffer());
    response.writeHead(upstream.status, { "access-control-allow-origin": "*", "content-length": bytes.length });
    if (!stalls) return response.end(bytes);
    stalled.push(response);
    return response.write(bytes.subarray(0, bytes.length >> 1));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: packageUrl(site.large).replace(site.url, `http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    stalled,
    get requests() {
      return requests;
    },
  };
}

/** A page that can wait for something out here. */
async function pageWaitingFor(reached: () => boolean, code: string): Promise<Page> {
  const page = await blankPage(browser.current, realAdapter + code);
  onTestFinished(() => page.context().close());
  await page.exposeFunction("reached", async () => {
    await expect.poll(reached).toBe(true);
  });
  return page;
}

/** Without its Web Worker nothing computes, loads or takes memory. */
const workersEnd = (page: Page): Promise<void> => expect.poll(() => page.workers().length).toBe(0);

test("dispose ends a model that is still being loaded onto the GPU: its download is broken off, who waits is told", async () => {
  // WASM's two shards come first.
  const server = await stallingServer(3);
  const page = await pageWaitingFor(() => server.stalled.length === 2, emptyKernels);
  const seen = await page.evaluate(async (url) => {
    const failure = (error: Error): string => `${error.name}: ${error.message}`;
    const model = await loadModel(url, { backend: "auto", store: false });
    const { backend, reason } = model;
    const changes: string[] = [];
    model.onBackendChange((_, why) => changes.push(why));
    await globalThis.reached();
    const generation = model.generate("Once", { maxTokens: 100_000, logitBias: { 0: -100 } });
    const result = generation.result.catch(failure);
    await generation[Symbol.asyncIterator]().next();
    await model.dispose();
    const after = await model.session().catch(failure);
    return { chosen: [backend, reason], result: await result, after, changes };
  }, server.url);
  expect(seen.chosen).toEqual(["wasm", "WASM computes until WebGPU is ready"]);
  const disposed = "DisposedError: the model was disposed: load it again";
  expect([seen.result, seen.after]).toEqual([disposed, disposed]);
  expect(seen.changes).toEqual([]);
  await workersEnd(page);
  await expect.poll(() => server.stalled.map(({ destroyed }) => destroyed)).toEqual([true, true]);
  // Manifest, tokenizer and two shards, twice.
  expect(server.requests).toBe(8);
});

test("dispose does not wait for kernels that compile", async () => {
  let compiling = false;
  const page = await pageWaitingFor(
    () => compiling,
    "GPUDevice.prototype.createComputePipelineAsync = () => { console.log('compiling'); return new Promise(() => {}); };",
  );
  page.on("console", (message) => {
    compiling ||= message.text() === "compiling";
  });
  await page.evaluate(async (url) => {
    const model = await loadModel(url, { backend: "auto" });
    await globalThis.reached();
    await model.dispose();
  }, packageUrl(site.story));
  await workersEnd(page);
});

test("a load onto the GPU that is aborted rejects, and its download is broken off", async () => {
  const server = await stallingServer(1);
  const page = await pageWaitingFor(() => server.stalled.length === 2, emptyKernels);
  const seen = await page.evaluate(async (url) => {
    const stop = new AbortController();
    const options = { backend: "webgpu", store: false, signal: stop.signal } as const;
    const loading = loadModel(url, options).catch((error: Error) => `${error.name}: ${error.message}`);
    await globalThis.reached();
    stop.abort(new DOMException("no longer wanted", "AbortError"));
    return loading;
  }, server.url);
  expect(seen).toBe("AbortError: no longer wanted");
  await workersEnd(page);
  await expect.poll(() => server.stalled.map(({ destroyed }) => destroyed)).toEqual([true, true]);
  expect(server.requests).toBe(4);
});
