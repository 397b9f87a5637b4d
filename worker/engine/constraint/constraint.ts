import { ParameterError } from "../errors.ts";
import { Automaton, type State } from "./automaton.ts";
import { leastBytes, leftRecursion, type Node, nodesOf } from "./grammar.ts";
import { spelling } from "./spelling.ts";
import type { TokenTrie } from "./token-trie.ts";

/** Nodes of a grammar at most: what takes a moment to prepare. */
const MOST_NODES = 200_000;
/** Bytes of the shortest text at most. */
const MOST_LEAST = 65_536;

/** Which tokens may come next: bit t % 32 of word t / 32. */
export type TokenMask = Uint32Array;

interface Mask {
  readonly bits: TokenMask;
  /** the most bytes that any of these tokens leaves to be written. */
  readonly most: number;
}

/**
 * A format that texts must have, on one vocabulary. It is made once and may be used by many sequences at a time: what it remembers are
 * values that any of them would find.
 *
 * @example
 * const run = constraintFor(tokenizer, { type: "json_object" }).begin(64);
 */
export class Constraint {
  /** Tokens of the shortest text. Fewer cannot be promised. */
  readonly fewestTokens: number;
  readonly #automaton: Automaton;
  readonly #trie: TokenTrie;
  readonly #masks = new WeakMap<State, Mask>();
  readonly #param: string;

  /**
   * @param param the request's field that the grammar comes from, for messages
   * @throws ParameterError when no text fits the grammar, or it cannot be run
   */
  constructor(root: Node, trie: TokenTrie, param: string) {
    const nodes = nodesOf(root);
    if (nodes.length > MOST_NODES) {
      throw new ParameterError(
        `${param} is too large: it makes ${nodes.length} nodes, ${MOST_NODES} are allowed`,
        param,
      );
    }
    const least = leastBytes(nodes);
    if (least.get(root) === Number.POSITIVE_INFINITY) {
      throw new ParameterError(
        `${param} allows no text that ends: give it a way out of what repeats or refers to itself`,
        param,
      );
    }
    if (least.get(root)! > MOST_LEAST) {
      throw new ParameterError(
        `${param} allows no text of fewer than ${least.get(root)} bytes: it must allow one of at most ${MOST_LEAST}`,
        param,
      );
    }
    const recursive = leftRecursion(nodes, least);
    if (recursive !== undefined) {
      throw new ParameterError(
        `${param}: the rule "${recursive.name}" begins with itself: put something in front`,
        param,
      );
    }
    this.#automaton = new Automaton(root);
    const { start } = this.#automaton;
    if (start.stacks.length === 0) throw new ParameterError(`${param} allows only the empty text: leave it out`, param);
    this.#trie = trie;
    this.#param = param;
    this.fewestTokens = Math.max(1, spelling(trie, this.#automaton.shortest(start)).length);
  }

  /**
   * Begins a text of at most `maxTokens` tokens. It is certain to end within them.
   * @param ends tokens that end a text where it may end
   * @throws ParameterError when they are too few for the shortest text
   */
  begin(maxTokens: number, ends: Iterable<number> = []): ConstraintRun {
    this.checkTokens(maxTokens);
    return new ConstraintRun(this, maxTokens, [...ends]);
  }

  /**
   * @param param the request's field that they come from
   * @throws ParameterError when so many tokens are too few for the shortest text
   */
  checkTokens(maxTokens: number, param = "max_tokens"): void {
    if (maxTokens >= this.fewestTokens) return;
    throw new ParameterError(
      `${param} is ${maxTokens}: the shortest text that ${this.#param} allows takes ${this.fewestTokens} tokens; ask for that many or more`,
      param,
    );
  }

  get start(): State {
    return this.#automaton.start;
  }

  /** The state after a token's bytes; null when no text goes on so. */
  after(state: State, bytes: Uint8Array): State | null {
    let at: State | null = state;
    for (const byte of bytes) {
      if (at === null) return null;
      at = this.#automaton.step(at, byte);
    }
    return at;
  }

  /** The fewest tokens that spell the shortest text from here to an end. For each those with the same bytes. */
  closing(state: State): Uint32Array[] {
    return spelling(this.#trie, this.#automaton.shortest(state));
  }

  /** The tokens after which at most `budget` bytes are left to be written. */
  allowed(state: State, vocab: number, budget: number): TokenMask {
    const near = this.#automaton.nearby(state, this.#trie.longest);
    let mask = this.#masks.get(near);
    if (mask === undefined || mask.bits.length !== Math.ceil(vocab / 32)) {
      mask = this.#walk(near, vocab, Number.POSITIVE_INFINITY);
      this.#masks.set(near, mask);
    }
    return mask.most <= budget ? mask.bits : this.#walk(state, vocab, budget).bits;
  }

  #walk(state: State, vocab: number, budget: number): Mask {
    const { byte, depth, end, starts, tokens, longest } = this.#trie;
    const bits = new Uint32Array(Math.ceil(vocab / 32));
    const path: State[] = new Array(longest + 1);
    path[0] = state;
    let most = 0;
    for (let entry = 0; entry < byte.length; ) {
      const at = depth[entry]!;
      const next = this.#automaton.step(path[at]!, byte[entry]!);
      if (next === null) {
        entry = end[entry]!;
        continue;
      }
      path[at + 1] = next;
      if (next.least <= budget) {
        for (let i = starts[entry]!; i < starts[entry + 1]!; i++) {
          const token = tokens[i]!;
          bits[token >> 5]! |= 1 << (token & 31);
          if (next.least > most) most = next.least;
        }
      }
      entry++;
    }
    return { bits, most };
  }
}

/** One text in the making. */
export class ConstraintRun {
  readonly #constraint: Constraint;
  readonly #ends: readonly number[];
  #state: State;
  #left: number;
  /** Where even the shortest end is only reached with tokens of more than one byte: the tokens that do, in order. */
  #closing: Uint32Array[] = [];

  constructor(constraint: Constraint, maxTokens: number, ends: readonly number[]) {
    this.#constraint = constraint;
    this.#ends = ends;
    this.#state = constraint.start;
    this.#left = maxTokens;
    this.#plan();
  }

  /** The text may end here. */
  get closed(): boolean {
    return this.#state.accepts;
  }

  /** Nothing can follow, or no token could say that nothing does. */
  get complete(): boolean {
    return this.closed && (this.#state.stacks.length === 0 || this.#ends.length === 0);
  }

  /** The tokens that may come next: after each of them the text can still be closed in time. Not to be changed. */
  allowed(vocab: number): TokenMask {
    // Each byte has a token: as many tokens as bytes are enough.
    const mask = this.#constraint.allowed(this.#state, vocab, this.#left - 1);
    if (!this.closed && this.#closing.length === 0) return mask;
    const changed = mask.slice();
    if (this.closed) for (const token of this.#ends) setBit(changed, token);
    const [next] = this.#closing;
    for (const token of next ?? []) setBit(changed, token);
    return changed;
  }

  /** Goes on by a token that was allowed and is none of the ends. @throws Error when it was not */
  advance(token: number, bytes: Uint8Array): void {
    const next = this.#constraint.after(this.#state, bytes);
    this.#left--;
    if (next === null) throw new Error(`token ${token} does not fit the format: it was not among those allowed`);
    this.#state = next;
    this.#closing = this.#closing[0]?.includes(token) === true ? this.#closing.slice(1) : [];
    this.#plan();
  }

  #plan(): void {
    if (this.#state.least <= this.#left) this.#closing = [];
    else if (this.#closing.length === 0) this.#closing = this.#constraint.closing(this.#state);
  }
}

function setBit(mask: TokenMask, token: number): void {
  const word = token >> 5;
  if (word < mask.length) mask[word]! |= 1 << (token & 31);
}
