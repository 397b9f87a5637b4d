import { ParameterError } from "../errors.ts";
import { type Bytes, leastBytes, type Node, nodesOf, type Repeat, type Sequence } from "./grammar.ts";

/** States remembered before all are forgotten and made again as they are needed: some 20 MB. */
const MOST_STATES = 20_000;
/** Stacks of a state at most: a text of an ambiguous grammar can have many. */
const MOST_STACKS = 4096;

/** What is left to match, the nearest first: a node of the grammar, how far it has come, and what follows it. */
interface Frame {
  readonly node: Bytes | Sequence | Repeat;
  /** parts of a sequence or turns of a repetition that are done. */
  readonly at: number;
  readonly below: Frame | undefined;
  /** fewest bytes from here to the end. */
  readonly least: number;
  readonly id: number;
  /** frames that lie on this one. */
  readonly above: Frames;
}

type Frames = Map<number, Frame>;

/** A node that comes next. */
type Place = Pick<Frame, "at" | "below"> & { readonly node: Node };

/** Where a text may be in the grammar: all its possible stacks at once, so that no choice is made before a byte makes it. */
export interface State {
  /** each with bytes on top. */
  readonly stacks: readonly Frame[];
  /** The text may end here. */
  readonly accepts: boolean;
  /** Fewest bytes to an end. */
  readonly least: number;
  /** by byte class; undefined where it was never asked for, null where no text goes on. */
  readonly next: (State | null | undefined)[];
}

/**
 * Runs a grammar byte by byte. States are made when they are first reached and remembered, with their transitions, as in a lazy DFA:
 * a second text, or the next token of the same, costs an array look-up a byte.
 */
export class Automaton {
  readonly start: State;
  readonly #least: ReadonlyMap<Node, number>;
  readonly #nodeIds: ReadonlyMap<Node, number>;
  /** bytes that no node of the grammar tells apart. */
  readonly #classOf: Uint8Array; // (256)
  readonly #classes: number;
  #bottom: Frames = new Map();
  #frameCount = 0;
  #states = new Map<string, State>();

  /** @param root without left recursion, and with an end (see leastBytes) */
  constructor(root: Node) {
    const nodes = nodesOf(root);
    this.#least = leastBytes(nodes);
    this.#nodeIds = new Map(nodes.map((node, i) => [node, i]));
    [this.#classOf, this.#classes] = byteClasses(nodes);
    this.start = this.#intern(this.#close([{ node: root, at: 0, below: undefined }]));
  }

  /** The state after one more byte; null when no text of the grammar goes on so. */
  step(state: State, byte: number): State | null {
    const known = state.next[this.#classOf[byte]!];
    return known === undefined ? this.#advance(state, byte) : known;
  }

  /**
   * A state that allows the same next `bytes` bytes: repetitions that are far from their end forget how far. What a text of any length
   * may be followed by is then worked out once.
   */
  nearby(state: State, bytes: number): State {
    const frames = new Map<Frame, Frame>();
    const near = (stack: Frame): Frame => {
      const chain: Frame[] = [];
      let frame: Frame | undefined = stack;
      for (; frame !== undefined && !frames.has(frame); frame = frame.below) chain.push(frame);
      let below = frame && frames.get(frame);
      for (const { node, at } of chain.toReversed()) {
        const far = node.kind === "repeat" && at > node.min && node.max - at > bytes;
        below = this.#frame(node, far ? node.min : at, below);
        frames.set(chain.pop()!, below);
      }
      return below!;
    };
    const reached = new Reached();
    reached.accepts = state.accepts;
    for (const stack of state.stacks) reached.stacks.add(near(stack));
    return this.#intern(reached);
  }

  /** The shortest text from here to an end; of several, one. */
  shortest(state: State): Uint8Array {
    const text: number[] = [];
    for (let at = state; at.least > 0; ) {
      const stack = at.stacks.find(({ least }) => least === at.least)!;
      const [[byte]] = (stack.node as Bytes).ranges as [readonly [number, number]];
      text.push(byte);
      at = this.step(at, byte)!;
    }
    return Uint8Array.from(text);
  }

  #advance(state: State, byte: number): State | null {
    const places: Place[] = [];
    let ended = false;
    for (const { node, below } of state.stacks) {
      if (!(node as Bytes).ranges.some(([first, last]) => byte >= first && byte <= last)) continue;
      if (below === undefined) ended = true;
      else places.push(below);
    }
    const reached = this.#close(places);
    reached.accepts ||= ended;
    const dead = reached.stacks.size === 0 && !reached.accepts;
    const next = dead ? null : this.#intern(reached);
    state.next[this.#classOf[byte]!] = next;
    return next;
  }

  /** Follows what comes next down to bytes, without a choice between the ways that the grammar has. */
  #close(places: Place[]): Reached {
    const reached = new Reached();
    const resume = (frame: Frame | undefined): void => {
      if (frame === undefined) reached.accepts = true;
      else places.push(frame);
    };
    for (let place = places.pop(); place !== undefined; place = places.pop()) {
      const { node, at, below } = place;
      switch (node.kind) {
        case "bytes":
          reached.stacks.add(this.#frame(node, 0, below));
          break;
        case "sequence": {
          const part = node.parts[at];
          if (part === undefined) resume(below);
          // Nothing is put on the stack for what has nothing left: a rule that ends with itself takes no room.
          else
            places.push({
              node: part,
              at: 0,
              below: at + 1 < node.parts.length ? this.#frame(node, at + 1, below) : below,
            });
          break;
        }
        case "choice":
          for (const option of node.options) places.push({ node: option, at: 0, below });
          break;
        case "rule":
          places.push({ node: node.body, at: 0, below });
          break;
        case "repeat": {
          // A part that can be empty would come back here for ever.
          const here = this.#frame(node, at, below);
          if (reached.turns.has(here)) break;
          reached.turns.add(here);
          if (at >= node.min) resume(below);
          if (at >= node.max) break;
          const done = node.max === Number.POSITIVE_INFINITY ? Math.min(at + 1, node.min) : at + 1;
          places.push({ node: node.part, at: 0, below: done === node.max ? below : this.#frame(node, done, below) });
        }
      }
    }
    if (reached.stacks.size > MOST_STACKS) {
      throw new ParameterError(
        `the grammar is too ambiguous: after this text it may go on in ${reached.stacks.size} ways, ${MOST_STACKS} are followed`,
        "grammar",
      );
    }
    return reached;
  }

  /** Equal frames are one object, so that equal stacks are found by their ids. */
  #frame(node: Frame["node"], at: number, below: Frame | undefined): Frame {
    const frames = below?.above ?? this.#bottom;
    const key = this.#nodeIds.get(node)! * 2 ** 32 + at;
    const known = frames.get(key);
    if (known !== undefined) return known;
    const least = this.#leastFrom(node, at) + (below?.least ?? 0);
    const frame: Frame = { node, at, below, least, id: ++this.#frameCount, above: new Map() };
    frames.set(key, frame);
    return frame;
  }

  #leastFrom(node: Frame["node"], at: number): number {
    if (node.kind === "bytes") return 1;
    if (node.kind === "repeat") return at < node.min ? (node.min - at) * this.#least.get(node.part)! : 0;
    return node.parts.slice(at).reduce((sum, part) => sum + this.#least.get(part)!, 0);
  }

  #intern(reached: Reached): State {
    const stacks = [...reached.stacks]
      .filter(({ least }) => least < Number.POSITIVE_INFINITY)
      .sort((a, b) => a.id - b.id);
    const key = `${reached.accepts ? "." : ""}${stacks.map(({ id }) => id).join()}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (this.#states.size >= MOST_STATES) {
      this.#states = new Map();
      this.#bottom = new Map();
    }
    const least = reached.accepts ? 0 : stacks.reduce((min, s) => Math.min(min, s.least), Number.POSITIVE_INFINITY);
    const next = new Array<State | null | undefined>(this.#classes).fill(undefined);
    const state: State = { stacks, accepts: reached.accepts, least, next };
    this.#states.set(key, state);
    return state;
  }
}

/** What one step collects. */
class Reached {
  readonly stacks = new Set<Frame>();
  readonly turns = new Set<Frame>();
  accepts = false;
}

function byteClasses(nodes: readonly Node[]): [classOf: Uint8Array, classes: number] {
  const begins = new Set<number>([0]);
  for (const node of nodes) {
    if (node.kind !== "bytes") continue;
    for (const [first, last] of node.ranges) begins.add(first).add(last + 1);
  }
  const classOf = new Uint8Array(256);
  let classes = 0;
  for (let byte = 0; byte < 256; byte++) {
    if (begins.has(byte)) classes++;
    classOf[byte] = classes - 1;
  }
  return [classOf, classes];
}
