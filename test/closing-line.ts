import type { Reporter, TestModule } from "vitest/node";

/** Closes a run with one plain line that any continuous integration can read: "N passed, N failed, N skipped". */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state !== "pending") count[state]++;
      }
      // A file that could not run has no tests to count.
      if (module.state() === "failed" && [...module.children.allTests()].every((t) => t.result().state !== "failed")) {
        count.failed++;
      }
    }
    process.stdout.write(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
  }
}
