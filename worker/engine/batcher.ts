import type { Executable, Span, SpanOutput } from "../../kernels/backend.ts";
import { inputWidth } from "../../kernels/blocks.ts";
import { spanLength } from "../../kernels/check.ts";
import { nextMacrotask } from "./macrotask.ts";

interface Job {
  readonly span: Span;
  /** set once the job's pass has begun. */
  pass?: Promise<SpanOutput>;
}

/**
 * Joins the steps of sequences that generate at the same time into one pass, which reads the weights once for all of them. Sequences
 * come and go between any two tokens, and each gets bit for bit what it would get alone.
 *
 * No promise is shared between callers that do not run together: in a Worker a promise belongs to the request that made it. Whoever
 * submits last runs the pass for all; the others look after a macrotask of their own, and run it themselves should nobody have.
 */
export class Batcher {
  readonly #executable: Executable;
  #queue: Job[] = [];
  #members = 0;

  constructor(executable: Executable) {
    this.#executable = executable;
  }

  /** Announces a sequence that will submit step after step. Returns how it takes its leave, once. */
  join(): () => void {
    this.#members++;
    let joined = true;
    return () => {
      if (joined) this.#members--;
      joined = false;
    };
  }

  /**
   * Runs a span, alone or together with those of other members. It must have been checked (kernels/check.ts): one that cannot run
   * fails the others of its pass with it.
   */
  async run(span: Span): Promise<SpanOutput> {
    const job: Job = { span };
    this.#queue.push(job);
    if (this.#queue.length < this.#members) await nextMacrotask();
    if (job.pass === undefined) this.#flush();
    return job.pass!;
  }

  /** Begins passes for all that waits, in order, each as full as it may be. */
  #flush(): void {
    const { maxTokens, maxSequences, blocks } = this.#executable;
    const width = inputWidth(blocks);
    while (this.#queue.length > 0) {
      let tokens = 0;
      let end = 0;
      for (const { span } of this.#queue) {
        tokens += spanLength(span, width);
        if (end === maxSequences || tokens > maxTokens) break;
        end++;
      }
      const jobs = this.#queue.splice(0, end);
      const outputs = this.#pass(jobs);
      jobs.forEach((job, i) => {
        job.pass = outputs.then((all) => all[i]!);
        // Who left before its pass came back does not listen any more.
        job.pass.catch(() => {});
      });
    }
  }

  async #pass(jobs: readonly Job[]): Promise<readonly SpanOutput[]> {
    return this.#executable.run(jobs.map((j) => j.span)).read();
  }
}
