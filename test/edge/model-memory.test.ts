import { env } from "cloudflare:workers";
import { describe, expect, test, vi } from "vitest";
import { backend } from "../../worker/edge/models/backend.ts";
import type { IndexEntry } from "../../worker/edge/models/index-file.ts";
import { createModelPool } from "../../worker/edge/models/model-pool.ts";
import { packageSource } from "../../worker/edge/models/package-source.ts";
import type { Services } from "../../worker/edge/services.ts";
import { errorOf, eventually } from "./support/client.ts";
import { separate } from "./support/separate.ts";

const prompt = "Once upon a time";
const index: IndexEntry[] = await (await env.ASSETS.fetch("https://assets.local/weights/index.json")).json();
const idOf = (name: string): string => index.find((entry) => entry.name === name)!.id;

describe("the memory budget", () => {
  const bytesOf = (pool: Services["pool"]): number => pool.stats().reduce((sum, s) => sum + s.bytes, 0);

  test("models that were idle for longest make room, and come back when they are asked for", async () => {
    const { post, services } = separate({});
    const names = (): string[] => services.pool.stats().map((s) => s.id.split("@")[0]!);
    for (const model of ["tiny", "other", "tiny-q8"])
      expect((await post({ model, prompt, max_tokens: 1 })).status).toBe(200);
    expect(names()).toEqual(["tiny", "other", "tiny-q8"]);
    expect((await post({ model: "tiny", prompt, max_tokens: 1 })).status).toBe(200);
    expect((await post({ model: "slow", prompt, max_tokens: 1 })).status).toBe(200);
    // While it loads "slow" leaves 0.4 MB: only "tiny-q8", "tiny" or "other" could not have stayed together.
    expect(names()).toContain("slow");
    expect(names().length).toBeLessThan(4);
    expect(names()).not.toContain("other");
    expect(bytesOf(services.pool)).toBeLessThanOrEqual(34.7e6);
    expect((await post({ model: "other", prompt, max_tokens: 1 })).status).toBe(200);
    expect(bytesOf(services.pool)).toBeLessThanOrEqual(34.7e6);
  });

  test("a model that would need the room of one in use is told to come back", async () => {
    const { post, services } = separate({});
    const busy = await post({ model: "tiny", prompt, max_tokens: 100_000, stream: true, logit_bias: { 0: -100 } });
    const response = await post({ model: "slow", prompt, max_tokens: 1 });
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await errorOf(response)).toMatchObject({
      status: 429,
      code: "overloaded",
      message: expect.stringMatching(/slow@.* in use leave \d+\.\d of the 34\.7 MB .* \(MEMORY_BUDGET_MB\): send/),
    });
    await busy.body!.cancel();
    await eventually(() => services.pool.stats().every((s) => s.users === 0), "the busy model is idle");
    expect((await post({ model: "slow", prompt, max_tokens: 1 })).status).toBe(200);
  });

  test("two models asked for at once are both served", async () => {
    const { post } = separate({});
    const replies = await Promise.all(
      ["tiny", "other", "tiny-q8"].map((model) => post({ model, prompt, max_tokens: 1 })),
    );
    expect(replies.map((r) => r.status)).toEqual([200, 200, 200]);
  });
});

describe("requests that the runtime drops without a word", () => {
  // Too little for "slow" while another is there.
  const limits = { memoryBudget: 35.1e6, maxSequences: 2 };
  const { signal } = new AbortController();
  const id = idOf("tiny");
  const source = () => packageSource(env, { id, store: "assets" });

  test("give their places back after a while, and living ones keep theirs", async () => {
    const pool = createModelPool(backend, { goneAfter: 1_500 });
    const living = await pool.lease(id, source(), { limits, signal });
    // Its timer never fires: the request that it belongs to is gone.
    const timers = vi.spyOn(globalThis, "setInterval").mockReturnValue(0 as never);
    await pool.lease(id, source(), { limits, signal });
    timers.mockRestore();
    expect(pool.stats()).toMatchObject([{ users: 2 }]);
    const next = await pool.lease(id, source(), { limits, signal });
    expect(pool.stats()).toMatchObject([{ users: 2 }]);
    expect(next.model).toBe(living.model);
    next.release();
    next.release();
    expect(pool.stats()).toMatchObject([{ users: 1 }]);
    // What the lost sequence took is freed with the model, when nobody uses it.
    living.release();
    expect(pool.stats()).toEqual([]);
  });

  test("do not keep a model from making room", async () => {
    const pool = createModelPool(backend, { goneAfter: 0 });
    const timers = vi.spyOn(globalThis, "setInterval").mockReturnValue(0 as never);
    await pool.lease(id, source(), { limits, signal });
    timers.mockRestore();
    await new Promise((wake) => setTimeout(wake, 10));
    const slow = { id: idOf("slow"), store: "assets" } as const;
    const lease = await pool.lease(slow.id, packageSource(env, slow), { limits, signal });
    expect(pool.stats()).toMatchObject([{ id: slow.id, users: 1 }]);
    lease.release();
  });
});
