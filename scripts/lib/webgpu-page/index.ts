import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Backend, CompileOptions, TensorSpec } from "../../../kernels/backend.ts";
import type { Block } from "../../../kernels/blocks.ts";
import { planWebGpu } from "../../../kernels/webgpu/index.ts";
import { launchChromium } from "../chromium.ts";
import { PageExecutable } from "./executable.ts";
import { Line } from "./line.ts";

export type { PageExecutable } from "./executable.ts";

/** What every WebGPU implementation binds. */
const BINDING_LIMIT = 128 * 1024 * 1024;

export interface PageBackend extends Backend {
  /** the adapter, in words. */
  readonly adapter: string;
  compile(
    blocks: readonly Block[],
    tensors: ReadonlyMap<string, TensorSpec>,
    options?: CompileOptions,
  ): Promise<PageExecutable>;
  counts(): Promise<{ liveBytes: number; pipelines: number }>;
  /** Runs a module of the project in the page and returns what its default export returns. */
  evaluate<T>(entry: URL): Promise<T>;
  close(): Promise<void>;
}

/** The webgpu backend in headless Chromium, where `npm ci` is all that a machine has: its WebGPU computes on the CPU. */
export async function openPageBackend(): Promise<PageBackend> {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    // A page of localhost is a secure context, which WebGPU wants; nothing listens there.
    await page.route("http://localhost/**", (route) =>
      route.fulfill({ contentType: "text/html", body: "<!doctype html>" }),
    );
    await page.goto("http://localhost/");
    const bundle = async (entry: string, globalName?: string): Promise<string> => {
      const result = await build({
        entryPoints: [entry],
        bundle: true,
        write: false,
        format: "iife",
        ...(globalName && { globalName }),
      });
      return result.outputFiles[0]!.text;
    };
    await page.addScriptTag({ content: await bundle(fileURLToPath(new URL("inside.ts", import.meta.url))) });
    const line = new Line((name, args) =>
      page.evaluate(
        ([method, values]) =>
          (globalThis as unknown as { webgpuPage: Record<string, (...args: unknown[]) => never> }).webgpuPage[method]!(
            ...values,
          ),
        [name, args] as const,
      ),
    );
    const adapter = await line.call("open");
    let ids = 0;
    return {
      name: "webgpu",
      adapter,
      plan: (blocks, tensors, options = {}) => planWebGpu(blocks, tensors, options, BINDING_LIMIT).memory,
      async compile(blocks, tensors, options = {}) {
        const plan = { ...planWebGpu(blocks, tensors, options, BINDING_LIMIT), blocks, tensors };
        const id = ids++;
        await line.call("compile", id, [...blocks], [...tensors], options);
        return new PageExecutable(line, id, plan, () => ids++);
      },
      counts: () => line.call("counts"),
      async evaluate(entry) {
        const text = await bundle(fileURLToPath(entry), "entry");
        return page.evaluate(`(() => { ${text}; return entry.default(); })()`);
      },
      close: () => browser.close(),
    };
  } catch (error) {
    await browser.close();
    throw error;
  }
}
