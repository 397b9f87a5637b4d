/** Bytes from the first to the last, both included. */
export type ByteRange = readonly [first: number, last: number];

/**
 * A context-free grammar over bytes, as the automaton runs it. Nodes are immutable and may be shared; only a rule gets its body later,
 * so that it can refer to itself.
 */
export type Node = Bytes | Sequence | Choice | Repeat | Rule;

/** One byte out of ranges. */
export interface Bytes {
  readonly kind: "bytes";
  readonly ranges: readonly ByteRange[];
}

export interface Sequence {
  readonly kind: "sequence";
  readonly parts: readonly Node[];
}

export interface Choice {
  readonly kind: "choice";
  readonly options: readonly Node[];
}

export interface Repeat {
  readonly kind: "repeat";
  readonly part: Node;
  readonly min: number;
  /** Infinity without an end. */
  readonly max: number;
}

export interface Rule {
  readonly kind: "rule";
  readonly name: string;
  body: Node;
}

export const EMPTY: Sequence = { kind: "sequence", parts: [] };
/** Matches nothing at all. */
export const NEVER: Choice = { kind: "choice", options: [] };

export function bytes(...ranges: ByteRange[]): Bytes {
  return { kind: "bytes", ranges };
}

export function sequence(...parts: Node[]): Node {
  return parts.length === 1 ? parts[0]! : { kind: "sequence", parts };
}

export function choice(...options: Node[]): Node {
  return options.length === 1 ? options[0]! : { kind: "choice", options };
}

export function repeat(part: Node, min = 0, max = Number.POSITIVE_INFINITY): Node {
  if (max === 0) return EMPTY;
  return min === 1 && max === 1 ? part : { kind: "repeat", part, min, max };
}

export const optional = (part: Node): Node => repeat(part, 0, 1);

/** A rule to be given its body. Until then it matches nothing. */
export function rule(name: string): Rule {
  return { kind: "rule", name, body: NEVER };
}

/** The UTF-8 bytes of a text. */
export function literal(text: string): Node {
  return sequence(...[...new TextEncoder().encode(text)].map((byte) => bytes([byte, byte])));
}

/** Every node that can be reached, each once. */
export function nodesOf(root: Node): Node[] {
  const seen = new Set<Node>([root]);
  for (const node of seen) for (const child of childrenOf(node)) seen.add(child);
  return [...seen];
}

function childrenOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case "bytes":
      return [];
    case "sequence":
      return node.parts;
    case "choice":
      return node.options;
    case "repeat":
      return [node.part];
    case "rule":
      return [node.body];
  }
}

/** The fewest bytes that each node can be; Infinity for one that has no end, or matches nothing. */
export function leastBytes(nodes: readonly Node[]): Map<Node, number> {
  const least = new Map<Node, number>(nodes.map((node) => [node, Number.POSITIVE_INFINITY]));
  const of = (node: Node): number => least.get(node)!;
  const measure = (node: Node): number => {
    switch (node.kind) {
      case "bytes":
        return node.ranges.length > 0 ? 1 : Number.POSITIVE_INFINITY;
      case "sequence":
        return node.parts.reduce((sum, part) => sum + of(part), 0);
      case "choice":
        return node.options.reduce((min, option) => Math.min(min, of(option)), Number.POSITIVE_INFINITY);
      case "repeat":
        return node.min === 0 ? 0 : node.min * of(node.part);
      case "rule":
        return of(node.body);
    }
  };
  // Children come after their parents, so that most are known in one round backwards.
  const order = nodes.toReversed();
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of order) {
      const value = measure(node);
      if (value === of(node)) continue;
      least.set(node, value);
      changed = true;
    }
  }
  return least;
}

/** A rule that begins with itself, which no automaton with a stack can follow; undefined when there is none. */
export function leftRecursion(nodes: readonly Node[], least: ReadonlyMap<Node, number>): Rule | undefined {
  const first = (node: Node): readonly Node[] => {
    if (node.kind !== "sequence") return childrenOf(node);
    const end = node.parts.findIndex((part) => least.get(part) !== 0);
    return end < 0 ? node.parts : node.parts.slice(0, end + 1);
  };
  const done = new Set<Node>();
  for (const start of nodes) {
    if (done.has(start)) continue;
    const path = new Set<Node>();
    const stack: { node: Node; next: number }[] = [{ node: start, next: 0 }];
    path.add(start);
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const child = first(top.node)[top.next++];
      if (child === undefined) {
        path.delete(top.node);
        done.add(top.node);
        stack.pop();
      } else if (path.has(child)) {
        const within = [...path].slice([...path].indexOf(child));
        return within.find((node) => node.kind === "rule");
      } else if (!done.has(child)) {
        path.add(child);
        stack.push({ node: child, next: 0 });
      }
    }
  }
  return undefined;
}
