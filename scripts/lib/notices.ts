import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Plugin } from "vite";

const LICENSE_FILES = /^(licen[sc]e|copying|notice)/i;

/**
 * Writes the licences of the packages that a bundle contains beside it: those of client.js into client.notices.txt. Vite's own
 * `build.license` leaves out what is bundled into a Web Worker, so this has to be among the plugins of `worker` too, the same object.
 */
export function noticesBeside(file: string): Plugin {
  const folders = new Set<string>();
  return {
    name: "notices",
    generateBundle(_, bundle) {
      for (const output of Object.values(bundle)) {
        for (const id of output.type === "chunk" ? output.moduleIds : []) {
          if (id.includes("/node_modules/") && !id.startsWith("\0")) folders.add(packageOf(id));
        }
      }
    },
    // Called for the main bundle alone, when the Web Worker's is in it.
    async writeBundle({ dir }) {
      const notices = await Promise.all([...folders].map(noticeOf));
      const text = `${file} contains these packages, under their licences.\n${notices.sort().join("")}`;
      await writeFile(join(dir!, file.replace(/\.js$/, ".notices.txt")), text);
    },
  };
}

/** Not the nearest folder with a package.json: those within a package have some, without name and version. */
function packageOf(module: string): string {
  const [, folder] = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(module) ?? [];
  if (folder !== undefined && existsSync(join(folder, "package.json"))) return folder;
  throw new Error(`${module} belongs to no package with a package.json: its licence cannot be told`);
}

/** @throws Error naming a package without a licence's name or text: it may not be passed on */
async function noticeOf(folder: string): Promise<string> {
  const { name, version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const files = (await readdir(folder)).filter((file) => LICENSE_FILES.test(file)).sort();
  const lacks = typeof license !== "string" ? 'no "license" in its package.json' : "no file with its licence";
  if (typeof license !== "string" || files.length === 0) {
    throw new Error(`${name} ${version} is bundled and has ${lacks}: bundle another version, or do without it`);
  }
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  const rule = "=".repeat(80);
  return `\n${rule}\n${name} ${version} (${license})\n${rule}\n\n${texts.map((text) => text.trimEnd()).join("\n\n")}\n`;
}
