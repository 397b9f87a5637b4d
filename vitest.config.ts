import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    reporters: ["default", "./test/closing-line.ts"],
    projects: [
      {
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: ["test/edge/*.test.ts"],
          testTimeout: 120_000,
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
