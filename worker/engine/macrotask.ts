/**
 * Waits for one macrotask, so that I/O, timers and other requests run between two pieces of work. A microtask would let
 * none of them in: an abort would be seen when all is computed.
 *
 * Costs about 2 µs in Node (setImmediate) and 1.2 ms in workerd, whose setImmediate, setTimeout(0) and
 * scheduler.wait(0) all take that long: pieces of work should be tens of milliseconds. A MessageChannel is quicker in
 * workerd but no good: in 20,000 turns of it no timer fired and no other request was answered. Browsers have no
 * setImmediate, and their setTimeout waits 4 ms once nested (HTML standard, "timer initialisation steps"), so there a
 * MessageChannel is used.
 */
export const nextMacrotask: () => Promise<void> = chooseMacrotask();

function chooseMacrotask(): () => Promise<void> {
  if (typeof setImmediate === "function") return () => new Promise((resolve) => void setImmediate(resolve));
  if (typeof MessageChannel === "function") return messageMacrotask();
  return () => new Promise((resolve) => void setTimeout(resolve, 0));
}

function messageMacrotask(): () => Promise<void> {
  const { port1, port2 } = new MessageChannel();
  const waiting: (() => void)[] = [];
  port1.onmessage = () => waiting.shift()?.();
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      port2.postMessage(null);
    });
}
