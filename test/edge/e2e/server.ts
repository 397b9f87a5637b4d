import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type DevServer, startDevServer } from "../../../scripts/lib/dev-server.ts";
import { buildTestAssets } from "../global-setup.ts";

const edge = fileURLToPath(new URL("..", import.meta.url));

export interface TestServerOptions {
  /** changes wrangler.toml. */
  readonly edit?: (config: string) => string;
  /** a folder that keeps what is stored when the server has ended. */
  readonly state?: string;
}

/** The local edge runtime with the test packages in a folder of its own, so that it does not meet the edge project's. */
export async function startTestServer(
  vars: Record<string, string>,
  { edit = (config) => config, state }: TestServerOptions = {},
): Promise<DevServer> {
  const folder = await mkdtemp(join(tmpdir(), "mamba-edge-e2e-"));
  const assets = join(folder, "assets");
  await buildTestAssets(join(folder, "models"), assets);
  const config = (await readFile(join(edge, "wrangler.test.toml"), "utf8"))
    .replace("../../dist/test-assets", assets)
    .replace("../../worker", join(edge, "../../worker"));
  await writeFile(join(folder, "wrangler.toml"), edit(config));
  const server = await startDevServer({
    config: join(folder, "wrangler.toml"),
    vars,
    ...(state !== undefined && { state }),
  });
  return {
    ...server,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
