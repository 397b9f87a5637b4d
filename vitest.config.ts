import { availableParallelism } from "node:os";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    reporters: ["default", "./test/closing-line.ts"],
    // On two cores two: browsers and servers that are waited for leave a core idle.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      {
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: ["test/edge/*.test.ts", "test/browser/**"],
          testTimeout: 120_000,
        },
      },
      {
        test: {
          name: "browser",
          include: ["test/browser/*.test.ts"],
          globalSetup: ["./test/browser/global-setup.ts"],
          // A GPU on the CPU compiles its pipelines for seconds, and much longer beside other work.
          testTimeout: 300_000,
          hookTimeout: 120_000,
          expect: { poll: { timeout: 60_000 } },
        },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: "./test/edge/wrangler.test.toml" } })],
        test: {
          name: "edge",
          include: ["test/edge/*.test.ts"],
          globalSetup: ["./test/edge/global-setup.ts"],
          testTimeout: 60_000,
        },
      },
    ],
  },
});
