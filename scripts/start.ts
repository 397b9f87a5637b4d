import { createRequire } from "node:module";
import { runNode } from "./lib/child.ts";

/*
 * npm start [-- OPTION…]
 *
 * `wrangler dev` with its options. It ends with npm, and asks nobody for the place that requests come from, which needs the network.
 */

// Not its launcher, which a terminal that closes ends without the rest.
const wrangler = createRequire(import.meta.url).resolve("wrangler");
const env = { CLOUDFLARE_CF_FETCH_ENABLED: "false", ...process.env };
const args = ["--no-warnings", wrangler, "dev", ...process.argv.slice(2)];
process.exitCode = await runNode(args, { stdio: "inherit", env });
