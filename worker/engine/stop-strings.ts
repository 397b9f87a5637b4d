import { ParameterError } from "./errors.ts";

export interface StopResult {
  /** Text that belongs to the reply and cannot be part of a stop string any more. */
  text: string;
  /** The stop string that ended the reply; nothing after it is emitted. */
  stopped?: string;
}

/**
 * Ends a streamed text before the first stop string. Holds back the longest end of the text that could begin one, and
 * no more, so a reader never sees a part of it.
 *
 * The first to be complete wins, and of two complete at the same character the longer: with stops "abcd" and "bc" the
 * text "abcd" ends at "a". Thus the result does not depend on how the text was cut, and nothing waits for a longer
 * match.
 *
 * @example
 * const matcher = new StopMatcher(["\n\n"]);
 * matcher.push("one\n"); // { text: "one" }
 * matcher.push("\ntwo"); // { text: "", stopped: "\n\n" }
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  readonly #longest: number;
  #held: string;
  #stopped: string | undefined;

  /**
   * @param held what `held` gave when the text was left; the stops may be others than then
   * @throws {ParameterError} for stops that are no list of texts, an empty one, or one with half a surrogate pair
   */
  constructor(stops: readonly string[], held = "") {
    if (!Array.isArray(stops) || stops.some((stop) => typeof stop !== "string")) {
      throw new ParameterError(`stop is ${JSON.stringify(stops)}: it must be a list of texts`, "stop");
    }
    for (const stop of stops) {
      if (stop === "") throw new ParameterError("stop holds an empty string: leave it out or give text", "stop");
      if (!stop.isWellFormed()) {
        throw new ParameterError(`stop holds half of a surrogate pair (${JSON.stringify(stop)})`, "stop");
      }
    }
    this.#stops = stops;
    this.#longest = Math.max(0, ...stops.map((stop) => stop.length));
    this.#held = held;
  }

  /** Text received but not emitted, for the snapshot. */
  get held(): string {
    return this.#held;
  }

  /** Takes more text. After a match every push gives no text and the same `stopped`. */
  push(text: string): StopResult {
    if (this.#stopped !== undefined) return { text: "", stopped: this.#stopped };
    const all = this.#held + text;
    const match = this.#firstMatch(all);
    if (match !== undefined) {
      this.#stopped = match.stop;
      this.#held = "";
      return { text: all.slice(0, match.start).toWellFormed(), stopped: match.stop };
    }
    const end = this.#safeEnd(all);
    this.#held = all.slice(end);
    // Half a pair that no other half follows becomes U+FFFD, as it would in UTF-8.
    return { text: all.slice(0, end).toWellFormed() };
  }

  /** The held text, when no more comes: what looked like a stop string was none. */
  flush(): string {
    const text = this.#held.toWellFormed();
    this.#held = "";
    return text;
  }

  #firstMatch(text: string): { stop: string; start: number } | undefined {
    let best: { stop: string; start: number } | undefined;
    let bestEnd = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop);
      if (start < 0) continue;
      const end = start + stop.length;
      if (end < bestEnd || (end === bestEnd && best !== undefined && start < best.start)) {
        best = { stop, start };
        bestEnd = end;
      }
    }
    return best;
  }

  #safeEnd(text: string): number {
    let end = text.length;
    for (let length = Math.min(this.#longest - 1, text.length); length > 0; length--) {
      const tail = text.slice(-length);
      if (this.#stops.some((stop) => stop.length > length && stop.startsWith(tail))) {
        end = text.length - length;
        break;
      }
    }
    // The first half of a surrogate pair waits for the second.
    return end > 0 && end === text.length && isHighSurrogate(text.charCodeAt(end - 1)) ? end - 1 : end;
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
