import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";

/**
 * Headless Chromium of the package @sparticuz/chromium, with WebGPU on the CPU. Nothing else need be installed.
 * @param args further switches
 */
export async function launchChromium(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({
    executablePath: await executable(),
    // No sandbox: tests run as root in containers.
    args: ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", ...args],
  });
}

/** Unpacks the browser once for all test files, which run at the same time: a folder appears whole or not at all. */
async function executable(): Promise<string> {
  const manifest = join(createRequire(import.meta.url).resolve("@sparticuz/chromium"), "../../package.json");
  const { version } = JSON.parse(await readFile(manifest, "utf8")) as { version: string };
  const folder = join(tmpdir(), `mamba-edge-chromium-${version}`);
  if (!existsSync(folder)) {
    await mkdir(tmpdir(), { recursive: true });
    const partial = await mkdtemp(`${folder}-`);
    await unpack(partial);
    // Another process may have been quicker.
    await rename(partial, folder).catch(() => rm(partial, { recursive: true, force: true }));
  }
  return join(folder, "chromium");
}

/** The package unpacks into the folder for temporary files, which it asks the environment for. */
async function unpack(into: string): Promise<void> {
  const before = process.env.TMPDIR;
  process.env.TMPDIR = into;
  try {
    const { default: packed } = await import("@sparticuz/chromium");
    await packed.executablePath();
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
}
