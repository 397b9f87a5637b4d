import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { importPeer, PEER_FOLDER, peerVersion } from "./install.ts";
import { type Peer, PeerError } from "./peer.ts";
import { serveFiles } from "./static-server.ts";
import { letters, textOf } from "./vocabulary.ts";

/** What is used of @sparticuz/chromium and playwright-core. */
interface Chromium {
  readonly default: { executablePath(): Promise<string> };
}
interface Playwright {
  readonly default: { readonly chromium: { launch(options: object): Promise<Browser> } };
}
interface Browser {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}
interface Page {
  goto(url: string): Promise<unknown>;
  /** Runs the function in the page: it sees its argument and the page's globals only. */
  evaluate<A, R>(work: (argument: A) => Promise<R>, argument: A): Promise<R>;
}

/** What is used of wllama, in the page. */
interface Wllama {
  loadModel(files: Blob[], options: object): Promise<void>;
  createCompletion(options: object): Promise<Completion>;
  isMultithread(): boolean;
}
interface WllamaModule {
  readonly Wllama: (new (paths: object, config: object) => Wllama) & { getLibllamaVersion(): string };
}
interface Completion {
  readonly choices: readonly {
    readonly logprobs: {
      readonly content: readonly {
        readonly top_logprobs: readonly { readonly id: number; readonly logprob: number }[];
      }[];
    } | null;
  }[];
  readonly timings: {
    readonly prompt_n: number;
    readonly prompt_ms: number;
    readonly predicted_n: number;
    readonly predicted_ms: number;
  };
}

/**
 * The cheapest sampling: the largest logit. No prompt is taken from an earlier one's state, and the end of text does not end a
 * measurement.
 */
const GREEDY = { temperature: 0, samplers: ["top_k"], top_k: 1, ignore_eos: true, cache_prompt: false };

/**
 * llama.cpp compiled to WebAssembly by wllama, in a headless Chromium.
 *
 * One thread (the page is not cross-origin isolated, so there is no shared memory), no GPU layers, batch = micro-batch = 512, one
 * sequence; the file is read into memory. The times are those that wllama's server measures inside WebAssembly: of the prompt, and
 * from the first token to the last, which includes taking the largest logit (a fraction of a percent).
 */
export async function openWllama(path: string): Promise<Peer> {
  const server = await serveFiles({
    wllama: join(PEER_FOLDER, "node_modules/@wllama/wllama/esm"),
    model: dirname(path),
  });
  const browser = await launch();
  const close = async (): Promise<void> => {
    await browser.close();
    server.close();
  };
  try {
    const page = await browser.newPage();
    await page.goto(server.url);
    const version = await load(page, `${server.url}/model/${basename(path)}`);
    return { name: `wllama ${peerVersion("@wllama/wllama")} (llama.cpp ${version})`, ...measures(page), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The Chromium of @sparticuz/chromium, unpacked into a folder of its own: it would take another version's that lies in the usual one. */
async function launch(): Promise<Browser> {
  const folder = join(PEER_FOLDER, `chromium-${peerVersion("@sparticuz/chromium")}`);
  await mkdir(folder, { recursive: true });
  const before = process.env.TMPDIR;
  process.env.TMPDIR = folder;
  try {
    const { default: packed } = await importPeer<Chromium>("@sparticuz/chromium");
    const { default: playwright } = await importPeer<Playwright>("playwright-core");
    const executablePath = await packed.executablePath();
    return await playwright.chromium.launch({ executablePath, headless: true, args: ["--no-sandbox"] });
  } catch (cause) {
    throw new PeerError(
      `the headless Chromium that wllama needs does not start: ${(cause as Error).message}\nIt runs on x64 and arm64 Linux; ` +
        "delete dist/peers to install it anew",
      { cause },
    );
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
}

/** Loads the model in the page, where it stays as `peer`. @returns llama.cpp's version */
async function load(page: Page, model: string): Promise<string> {
  const { version, threads } = await page.evaluate(
    async ({ model }) => {
      const { Wllama } = (await import(`${location.origin}/wllama/index.js`)) as WllamaModule;
      const peer = new Wllama({ default: "/wllama/wasm/wllama.wasm" }, { suppressNativeLog: true });
      const file = await (await fetch(model)).blob();
      await peer.loadModel([file], {
        n_threads: 1,
        n_gpu_layers: 0,
        n_ctx: 4096,
        n_batch: 512,
        n_ubatch: 512,
        n_parallel: 1,
        flash_attn: false,
      });
      Object.assign(globalThis, { peer });
      return { version: Wllama.getLibllamaVersion(), threads: peer.isMultithread() || crossOriginIsolated };
    },
    { model },
  );
  if (threads) throw new PeerError("wllama must run on one thread, and says that it does not");
  return version;
}

function measures(page: Page): Pick<Peer, "decode" | "prefill" | "logProbs"> {
  const complete = (options: object): Promise<Completion> =>
    page.evaluate((options) => (globalThis as unknown as { peer: Wllama }).peer.createCompletion(options), {
      ...GREEDY,
      ...options,
    });
  return {
    async decode(tokens) {
      // The first token comes of the prompt's logits, so one more than is evaluated.
      const { timings } = await complete({ prompt: textOf(letters(4, 0)), max_tokens: tokens + 1 });
      if (timings.predicted_n !== tokens + 1) {
        throw new PeerError(`wllama was to decode ${tokens} tokens, and decoded ${timings.predicted_n - 1}`);
      }
      return timings.predicted_ms / 1000;
    },
    async prefill(tokens) {
      const { timings } = await complete({ prompt: textOf(letters(tokens, 0)), max_tokens: 1 });
      if (timings.prompt_n !== tokens) {
        throw new PeerError(`wllama was to run a prompt of ${tokens} tokens, and ran ${timings.prompt_n}`);
      }
      return timings.prompt_ms / 1000;
    },
    async logProbs(prompt) {
      const { choices } = await complete({ prompt: textOf(prompt), max_tokens: 1, n_probs: 20 });
      const best = choices[0]?.logprobs?.content[0]?.top_logprobs ?? [];
      return new Map(best.map(({ id, logprob }) => [id, logprob]));
    },
  };
}
