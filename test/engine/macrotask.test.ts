import { expect, test } from "vitest";
import { nextMacrotask } from "../../worker/engine/macrotask.ts";

test("lets timers and messages in, and microtasks before it", async () => {
  const seen: string[] = [];
  setTimeout(() => seen.push("timer"), 0);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    seen.push("message");
    port1.close();
  };
  port2.postMessage(null);
  queueMicrotask(() => seen.push("microtask"));
  await nextMacrotask();
  expect(seen[0]).toBe("microtask");
  const start = performance.now();
  while (seen.length < 3 && performance.now() - start < 5000) await nextMacrotask();
  expect(seen.toSorted()).toEqual(["message", "microtask", "timer"]);
});

test("every waiter gets its turn", async () => {
  const order: number[] = [];
  await Promise.all([1, 2, 3].map((n) => nextMacrotask().then(() => order.push(n))));
  expect(order).toEqual([1, 2, 3]);
});
