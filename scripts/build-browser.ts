import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type InlineConfig, type Plugin } from "vite";
import { ASSETS_DIR, assetsDirectory, DEFAULT_ASSETS } from "./build-assets.ts";
import { runCommand } from "./lib/cli.ts";
import { noticesBeside } from "./lib/notices.ts";

const HELP = `Usage: node scripts/build-browser.ts [--out DIR]

Builds the browser's part into the static assets that the Worker serves: client.js, one file with its Web Worker and kernels inside,
client.d.ts, client.notices.txt, the licences of the packages in it, and the playground, index.html and page/, with four sample
photographs. Prints the client's size.

  --out DIR      folder of static assets (default ${ASSETS_DIR} of the environment, or ${DEFAULT_ASSETS})
  --help
`;

const browser = fileURLToPath(new URL("../worker/browser", import.meta.url));
const photographs = fileURLToPath(new URL("../test/golden/photographs", import.meta.url));

/** Pictures for visitors to try, and what may be done with them. */
const SAMPLES = ["church-1.jpg", "english-springer-0.jpg", "parachute-2.jpg", "garbage-truck-2.jpg", "README.md"];

/** The client's build waits for its Web Worker's: no news. */
const checks = { pluginTimings: false };

/** A kernel's bytes as text, compressed: a third of what base64 makes of them alone, and smaller too when the file is sent compressed. */
const compressedKernels: Plugin = {
  name: "compressed-kernels",
  enforce: "pre",
  async load(id) {
    if (!id.endsWith(".wasm?gzip")) return undefined;
    const bytes = await readFile(id.slice(0, -"?gzip".length));
    return `export default ${JSON.stringify(gzipSync(bytes, { level: 9 }).toString("base64"))};`;
  },
};

/** What both builds share. The folder also holds model packages: nothing is emptied. */
const common: InlineConfig = {
  configFile: false,
  logLevel: "warn",
  worker: { format: "es", plugins: () => [compressedKernels], rolldownOptions: { checks } },
};

/** @returns bytes of client.js */
export async function buildBrowser(out: string): Promise<Buffer> {
  await mkdir(out, { recursive: true });
  await Promise.all([buildClient(out), buildPage(out), copySamples(join(out, "page/photographs"))]);
  return readFile(join(out, "client.js"));
}

async function buildClient(out: string): Promise<void> {
  const notices = noticesBeside("client.js");
  await build({
    ...common,
    plugins: [notices],
    worker: { ...common.worker, plugins: () => [compressedKernels, notices] },
    root: join(browser, "client"),
    publicDir: false,
    build: {
      outDir: out,
      emptyOutDir: false,
      target: "es2024",
      lib: { entry: "index.ts", formats: ["es"], fileName: () => "client.js" },
      rolldownOptions: { checks },
    },
  });
  const types = await readFile(join(browser, "client/api.ts"), "utf8");
  await writeFile(
    join(out, "client.d.ts"),
    `${types}export declare const loadModel: LoadModel;\nexport declare const loadImageModel: LoadImageModel;\n`,
  );
}

async function copySamples(out: string): Promise<void> {
  await mkdir(out, { recursive: true });
  for (const file of SAMPLES) await copyFile(join(photographs, file), join(out, file));
}

async function buildPage(out: string): Promise<void> {
  await build({
    ...common,
    root: join(browser, "page"),
    publicDir: false,
    build: {
      outDir: out,
      emptyOutDir: false,
      target: "es2024",
      modulePreload: { polyfill: false },
      // Names without hashes: a running Worker sees changes, and nothing old piles up. Browsers ask whether files changed.
      rolldownOptions: { checks, output: { entryFileNames: "page/[name].js", assetFileNames: "page/[name][extname]" } },
    },
    plugins: [
      {
        // The page uses the client as anybody would, from its address.
        name: "client-by-address",
        enforce: "pre",
        resolveId: (source) =>
          /\/client\/index\.ts$/.test(source) ? { id: "/client.js", external: "absolute" } : undefined,
      },
    ],
  });
}

if (import.meta.main) {
  await runCommand({
    help: HELP,
    options: { out: { type: "string" } },
    positionals: { min: 0, max: 0 },
    async run(_, { out = assetsDirectory() }) {
      const client = await buildBrowser(resolve(String(out)));
      const kb = (bytes: number): string => `${(bytes / 1e3).toFixed(0)} kB`;
      process.stderr.write(`client.js: ${kb(client.length)}, gzip ${kb(gzipSync(client).length)}\n`);
    },
  });
}
