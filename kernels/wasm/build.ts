import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/**
 * Compiles src/*.c to build/relaxed.wasm and build/baseline.wasm: `npm run build:kernels`, or the variants that are named as arguments.
 * The compiler is an npm package (clang as WebAssembly), so any machine builds the same bytes. Nothing happens when they are fresh.
 */

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const COMMON = [
  "--target=wasm32",
  "-nostdlib",
  "-ffreestanding",
  "-O3",
  "-ffp-contract=off",
  "-msimd128",
  "-mbulk-memory",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-Wl,--no-entry",
  "-Wl,--import-memory",
  "-Wl,--export=__heap_base",
  "-Wl,--stack-first",
  "-Wl,-z,stack-size=16384",
  "-Wl,--strip-all",
];
/** Without it the package prints its loading on stdout. */
const SILENT = { fetchProgress: () => {} };
const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  relaxed: ["-mrelaxed-simd", "-DRELAXED"],
  baseline: [],
  // Never served: `npm run bench -- --only madd` tells what the other two give up for the same bits on every host.
  madd: ["-mrelaxed-simd", "-DRELAXED", "-DMADD"],
};
const SERVED = ["relaxed", "baseline"];

async function readSources(): Promise<Record<string, string>> {
  const sources: Record<string, string> = {};
  for (const name of (await readdir(here("src"))).sort()) sources[name] = await readFile(here(`src/${name}`), "utf8");
  return sources;
}

async function compilerVersion(): Promise<string> {
  const entry = new URL(import.meta.resolve("@yowasp/clang"));
  const manifest = JSON.parse(await readFile(new URL("../package.json", entry), "utf8")) as { version: string };
  return manifest.version;
}

async function isFresh(variant: string, key: string): Promise<boolean> {
  try {
    await readFile(here(`build/${variant}.wasm`));
    return (await readFile(here(`build/${variant}.stamp`), "utf8")) === key;
  } catch {
    return false;
  }
}

/** Other processes may read, or build at the same time: a file appears whole or not at all. */
async function writeWhole(path: string, content: Uint8Array | string): Promise<void> {
  const partial = here(`${path}.${process.pid}`);
  await writeFile(partial, content);
  await rename(partial, here(path));
}

async function compile(flags: readonly string[], sources: Record<string, string>): Promise<Uint8Array> {
  const { commands } = await import("@yowasp/clang");
  await commands.clang(undefined, {}, SILENT);
  let diagnostics = "";
  const collect = (bytes: Uint8Array | null): void => {
    if (bytes !== null) diagnostics += new TextDecoder().decode(bytes);
  };
  try {
    const units = Object.keys(sources).filter((name) => name.endsWith(".c"));
    const args = [...COMMON, ...flags, ...units, "-o", "out.wasm"];
    const tree = await commands.clang(args, { ...sources }, { ...SILENT, stdout: collect, stderr: collect });
    return (tree as Record<string, Uint8Array>)["out.wasm"] as Uint8Array;
  } catch (error) {
    throw new Error(`the kernels do not compile:\n${diagnostics}`, { cause: error });
  }
}

async function build(variants: readonly string[]): Promise<void> {
  const sources = await readSources();
  const version = await compilerVersion();
  for (const variant of variants) {
    const flags = VARIANTS[variant];
    if (flags === undefined) throw new Error(`no variant "${variant}": there are ${Object.keys(VARIANTS).join(", ")}`);
    const key = createHash("sha256")
      .update(JSON.stringify([sources, COMMON, flags, version]))
      .digest("hex");
    if (await isFresh(variant, key)) continue;
    await mkdir(here("build"), { recursive: true });
    const wasm = await compile(flags, sources);
    await writeWhole(`build/${variant}.wasm`, wasm);
    process.stderr.write(`kernels/wasm/build/${variant}.wasm: ${wasm.length} bytes\n`);
    await writeWhole(`build/${variant}.stamp`, key);
  }
}

try {
  const named = process.argv.slice(2);
  await build(named.length > 0 ? named : SERVED);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
