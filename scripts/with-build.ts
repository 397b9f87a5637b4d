import { runNode } from "./lib/child.ts";

/*
 * node scripts/with-build.ts kernels|all|bench [NODE_OPTION…] SCRIPT [ARG…]
 *
 * Builds what a command needs and runs it with Node; a command that is asked for help only builds nothing. npm's scripts use it, as shells
 * have no common way to say that.
 */

const KERNELS = [["kernels/wasm/build.ts"]];
const ALL = [...KERNELS, ["scripts/build-assets.ts"], ["scripts/build-browser.ts"]];
const BUILDS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  kernels: KERNELS,
  all: ALL,
  bench: [...ALL, ["kernels/wasm/build.ts", "madd"]],
};

const [what = "", ...command] = process.argv.slice(2);
const build = BUILDS[what];
if (build === undefined || command.length === 0) {
  process.stderr.write(
    `usage: node scripts/with-build.ts ${Object.keys(BUILDS).join("|")} [NODE_OPTION…] SCRIPT [ARG…]\n`,
  );
  process.exit(1);
}
const help = command.includes("--help") || command.includes("-h");
for (const args of help ? [command] : [...build, command]) {
  // What the builds say is no data of the command's.
  const stdout = args === command ? "inherit" : process.stderr.fd;
  const code = await runNode(args, { stdio: ["inherit", stdout, "inherit"] });
  if (code !== 0) process.exit(code);
}
