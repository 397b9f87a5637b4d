import { describe, expect, test } from "vitest";
import { effort } from "../effort.ts";
import {
  countBuffers,
  emptyKernels,
  hastyClock,
  leastLimits,
  losesDeviceAfter,
  noAdapter,
  noWebGpu,
  realAdapter,
} from "./sabotage.ts";
import { blankPage, packageUrl, site, useBrowser } from "./visit.ts";

const browser = useBrowser();

/** What a page that loads a package with `backend` gets: where it computed and what. */
async function story(code: string | undefined, backend: "auto" | "webgpu" | "wasm" | "rest", id = site.story) {
  const page = await blankPage(browser.current, code);
  const seen = await page.evaluate(
    async ([url, backend]) => {
      const model = await loadModel(url, { backend });
      const changes: string[] = [];
      // Where it is still to be decided, WASM computes until then.
      if (/^WASM computes until/.test(model.reason)) {
        await new Promise<void>((decided) => {
          const end = model.onBackendChange(() => {
            end();
            decided();
          });
        });
      }
      const first = [model.backend, model.reason];
      model.onBackendChange((to, reason) => changes.push(`${to}: ${reason}`));
      const result = await model.generate("Once upon a time", { temperature: 0, maxTokens: 24, seed: 1 }).result;
      await model.dispose();
      return { first, changes, result };
    },
    [packageUrl(id), backend] as const,
  );
  await page.context().close();
  return seen;
}

describe("auto computes on WASM, and says why,", () => {
  test.each([
    { without: "navigator.gpu", code: noWebGpu, reason: /^this browser has no WebGPU$/ },
    { without: "an adapter", code: noAdapter, reason: /^WebGPU finds no GPU here$/ },
    { without: "a real adapter", code: undefined, reason: /would compute on the CPU/ },
    {
      without: "a device",
      code: `${realAdapter} GPUAdapter.prototype.requestDevice = async () => { throw new Error("no device today"); };`,
      reason: /could not be started: no device today/,
    },
    {
      without: "pipelines that compile",
      code: `${realAdapter} GPUDevice.prototype.createComputePipelineAsync = async () => { throw new Error("no pipeline today"); };`,
      reason: /^WebGPU failed here: .*no pipeline today/,
    },
    {
      without: "a GPU that computes what WASM does",
      code: realAdapter + emptyKernels,
      reason:
        /^WebGPU failed here: its logits at position 0 are \S+ of the largest apart from WASM's, 0\.04 is allowed$/,
    },
  ])("without $without", async ({ code, reason }) => {
    const { first, result } = await story(code, "auto");
    expect(first[0]).toBe("wasm");
    expect(first[1]).toMatch(reason);
    expect(result).toMatchObject({ completionTokens: 24, backend: "wasm" });
  });
});

test("asked for where there is none, WebGPU is an error", async () => {
  await expect(story(noWebGpu, "webgpu")).rejects.toThrow(
    /BackendError: WebGPU cannot be used here: this browser has no WebGPU/,
  );
});

test("a browser too old to unpack the kernels is told so, and the edge computes for it", async () => {
  const old = "delete self.DecompressionStream;";
  for (const backend of ["auto", "wasm"] as const) {
    await expect(story(old, backend)).rejects.toThrow(
      /BackendError: this browser has no DecompressionStream, .*: use a newer one, or the backend "rest"$/m,
    );
  }
  const { first, result } = await story(old, "rest");
  expect(first).toEqual(["rest", "asked for"]);
  expect(result).toMatchObject({ completionTokens: 24, backend: "rest" });
});

test("when WebGPU is ready and faster, a session moves over from WASM and goes on with the same text; a second load need not measure", async () => {
  const page = await blankPage(browser.current, realAdapter + hastyClock);
  const seen = await page.evaluate(async (url) => {
    const model = await loadModel(url, { backend: "auto" });
    const changed = new Promise<string[]>((decided) =>
      model.onBackendChange((backend, reason) => decided([backend, reason])),
    );
    const session = await model.session();
    const first = await session.append("The fox", { maxTokens: 20, seed: 3 }).result;
    const change = await changed;
    const second = await session.append("", { maxTokens: 20 }).result;
    const backends = [first.backend, second.backend, model.backend];
    await model.dispose();
    const wasm = await loadModel(url, { backend: "wasm" });
    const whole = (await (await wasm.session()).append("The fox", { maxTokens: 40, seed: 3 }).result).text;
    await wasm.dispose();
    return { change, backends, text: first.text + second.text, whole };
    // In f32, where both compute the same but for rounding.
  }, packageUrl(site.small));
  expect(seen.backends).toEqual(["wasm", "webgpu", "webgpu"]);
  expect(seen.change).toEqual([
    "webgpu",
    expect.stringMatching(/^WebGPU agrees with WASM and is faster here: .* tok\/s against/),
  ]);
  expect(seen.text).toBe(seen.whole);

  // What was found fastest is remembered, with this clock nothing that came second, and used without being measured again.
  const remembered = await page.evaluate(async (url) => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("mamba-edge-tuning");
    const stored: string[] = [];
    for await (const handle of (folder as never as { values(): AsyncIterable<FileSystemFileHandle> }).values()) {
      stored.push(await (await handle.getFile()).text());
      const writable = await handle.createWritable();
      await writable.write('["64 rows", "a trial that nobody knows"]');
      await writable.close();
    }
    const model = await loadModel(url, { backend: "auto" });
    const reason = await new Promise<string>((decided) => model.onBackendChange((_, why) => decided(why)));
    await model.dispose();
    return { stored, reason };
  }, packageUrl(site.small));
  expect(remembered).toEqual({ stored: ["[]"], reason: expect.stringMatching(/against .*, with 64 rows$/) });
  await page.context().close();
});

test("while kernels compile, WASM generates: the first token does not wait for them", async () => {
  const page = await blankPage(
    browser.current,
    `${realAdapter} GPUDevice.prototype.createComputePipelineAsync = () => new Promise(() => {});`,
  );
  const seen = await page.evaluate(async (url) => {
    const model = await loadModel(url, { backend: "auto" });
    const { text, backend } = await model.generate("Once upon a time", { maxTokens: 12, seed: 1 }).result;
    const { reason } = model;
    await model.dispose();
    return { text, backend, reason };
  }, packageUrl(site.story));
  expect(seen).toMatchObject({ backend: "wasm", reason: "WASM computes until WebGPU is ready" });
  expect(seen.text.length).toBeGreaterThan(5);
  await page.context().close();
});

test("a device with the least limits, lost in the midst of a generation: WASM goes on with the same text", async () => {
  // In f32, where backends choose the same tokens.
  const expected = (await story(undefined, "wasm", site.chat)).result;
  const cut = await story(leastLimits + losesDeviceAfter(12), "webgpu", site.chat);
  expect(cut.first).toEqual(["webgpu", "asked for"]);
  expect(cut.changes).toEqual([
    expect.stringMatching(/^wasm: the GPU failed \(.*\): WASM went on from the same state$/),
  ]);
  expect(cut.result).toEqual({ ...expected, ...times(cut.result) });
});

describe("disposed of after each of many rounds, a model leaves no Web Worker, no GPU buffers, not a stored byte more", () => {
  // A GPU on the CPU compiles for six seconds a round. What kernels compute changes nothing of what is kept.
  test.each([
    { backend: "wasm", kernels: "its own", rounds: 20, code: "" },
    { backend: "webgpu", kernels: "empty", rounds: 20, code: emptyKernels },
    { backend: "webgpu", kernels: "its own", rounds: effort.gpuRounds, code: "" },
  ] as const)("$rounds rounds on $backend, $kernels kernels", { timeout: 600_000 }, async ({
    backend,
    rounds,
    code,
  }) => {
    const page = await blankPage(browser.current, countBuffers + code);
    const round = () =>
      page.evaluate(
        async ([url, backend]) => {
          const live: number[] = [];
          const asked = new BroadcastChannel("live-bytes");
          asked.onmessage = ({ data }) => live.push(data as number);
          const model = await loadModel(url, { backend });
          await model.generate("a", { maxTokens: 4 }).result;
          await model.dispose();
          // Reports come by another way than the reply, so perhaps later; a buffer freed late would too.
          const pause = () => new Promise((wake) => setTimeout(wake, 50));
          await pause();
          for (let i = 0; live.at(-1) !== 0 && i < 200; i++) await pause();
          asked.close();
          return { peak: Math.max(...live), last: live.at(-1), stored: (await navigator.storage.estimate()).usage };
        },
        [packageUrl(site.small), backend] as const,
      );
    const { stored } = await round();
    for (let i = 1; i < rounds; i++) {
      const later = await round();
      expect(later).toMatchObject({ last: 0, stored });
      if (backend === "webgpu") expect(later.peak).toBeGreaterThan(100_000);
      await expect.poll(() => page.workers().length, { timeout: 10_000 }).toBe(0);
    }
    await page.context().close();
  });
});

function times({ firstTokenMs, totalMs }: { firstTokenMs?: number; totalMs: number }) {
  return { firstTokenMs, totalMs };
}
