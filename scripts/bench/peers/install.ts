import { spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { PeerError } from "./peer.ts";

/** Where the peers and the files they run lie; not part of the repository. */
export const PEER_FOLDER = fileURLToPath(new URL("../../../dist/peers", import.meta.url));

const NODE_LLAMA_CPP = "3.22.1";

type Packages = Readonly<Record<string, string>>;

/** What is compared against, pinned: newer versions are measured by changing a number here. */
const TEXT_PACKAGES: Packages = {
  "node-llama-cpp": NODE_LLAMA_CPP,
  // The prebuilt llama.cpp for this machine without a GPU, which node-llama-cpp lists as optional among 600 MB of others.
  [prebuiltPackage()]: NODE_LLAMA_CPP,
  "@wllama/wllama": "3.8.1",
  "playwright-core": "1.65.1",
  "@sparticuz/chromium": "153.0.0",
};
const IMAGE_PACKAGES: Packages = { "onnxruntime-web": "1.30.0" };
const PACKAGES: Packages = { ...TEXT_PACKAGES, ...IMAGE_PACKAGES };

/** What the comparison of language models needs, and that of image models. */
export const PEERS = { text: TEXT_PACKAGES, images: IMAGE_PACKAGES };

function prebuiltPackage(): string {
  const system = { linux: "linux", darwin: "mac", win32: "win" }[process.platform as string] ?? process.platform;
  const metal = process.platform === "darwin" && process.arch === "arm64" ? "-metal" : "";
  return `@node-llama-cpp/${system}-${process.arch}${metal}`;
}

/**
 * Installs peers where they are missing or of another version, beside those that are there. Without install scripts: everything that runs ships inside the
 * packages themselves, so the registry is all it needs.
 * @throws PeerError when that fails
 */
export async function installPeers(wanted: Packages): Promise<void> {
  if ((await missing(wanted)).length === 0) return;
  process.stderr.write("installing the peers into dist/peers …\n");
  await mkdir(PEER_FOLDER, { recursive: true });
  const absent = await missing(PACKAGES);
  const there = Object.entries(PACKAGES).filter(([name, version]) => !absent.includes(`${name}@${version}`));
  const dependencies = { ...Object.fromEntries(there), ...wanted };
  const manifest = { name: "mamba-edge-peers", private: true, type: "module", dependencies };
  await writeFile(join(PEER_FOLDER, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  const { code, output } = await npm([
    "install",
    "--prefix",
    PEER_FOLDER,
    "--ignore-scripts",
    "--omit=optional",
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
  ]);
  const still = await missing(wanted);
  if (code === 0 && still.length === 0) return;
  throw new PeerError(
    `the peers cannot be installed into dist/peers (${still.join(", ")}): npm says\n${output.trim()}\nThey are there for ` +
      "x64 and arm64 Linux and come from the npm registry; run the benchmark without --peers where it cannot be reached",
  );
}

/** A module of a peer. Its types are what the caller says. */
export async function importPeer<T>(name: string): Promise<T> {
  const require = createRequire(join(PEER_FOLDER, "package.json"));
  return (await import(pathToFileURL(require.resolve(name)).href)) as T;
}

export function peerVersion(name: string): string {
  return PACKAGES[name] ?? "unknown";
}

async function missing(packages: Packages): Promise<string[]> {
  const states = await Promise.all(
    Object.entries(packages).map(async ([name, version]) => {
      const path = join(PEER_FOLDER, "node_modules", name, "package.json");
      const installed = await readFile(path, "utf8").then(
        (text) => (JSON.parse(text) as { version: string }).version,
        () => undefined,
      );
      return installed === version ? [] : [`${name}@${version}`];
    }),
  );
  return states.flat();
}

function npm(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn("npm", args, { stdio: ["ignore", "pipe", "pipe"], shell: process.platform === "win32" });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (d: Buffer) => (output += d.toString()));
    child.on("error", (error) => resolve({ code: 1, output: error.message }));
    child.on("close", (code) => resolve({ code, output }));
  });
}
