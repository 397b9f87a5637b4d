import { type Block, positionLimit } from "./blocks.ts";

/**
 * One piece of the recurrent state of one sequence, row-major f32, in canonical order.
 * Canonical order is block by block; in a block conv, then ssm. Every backend reads and writes this order, whatever it keeps inside.
 * Attention's kv part holds a row for each position so far: only these are read, written and stored.
 */
export interface StatePart {
  /** index into the block list. */
  readonly block: number;
  readonly name: "conv" | "ssm" | "kv";
  readonly shape: readonly number[];
  /** first element, in f32s from the start of the canonical state. */
  readonly offset: number;
  readonly length: number;
}

/** The parts of a sequence's state after `positions` positions (of importance only to parts that grow), in canonical order. */
export function stateLayout(blocks: readonly Block[], positions = 0): StatePart[] {
  const parts: StatePart[] = [];
  let offset = 0;
  const add = (block: number, name: StatePart["name"], shape: readonly number[]): void => {
    const length = shape.reduce((a, b) => a * b, 1);
    parts.push({ block, name, shape, offset, length });
    offset += length;
  };
  blocks.forEach((b, i) => {
    switch (b.kind) {
      case "mamba":
        add(i, "conv", [b.conv - 1, b.inner]);
        add(i, "ssm", [b.inner, b.state]);
        break;
      case "s4-mamba":
        add(i, "conv", [b.conv - 1, b.inner]);
        add(i, "ssm", [b.inner, 2 * b.s4d.state]);
        break;
      case "s4d":
        add(i, "ssm", [b.dim, 2 * b.s4d.state]);
        break;
      case "attention":
        add(i, "kv", [positions, 2 * b.dim]);
        break;
    }
  });
  return parts;
}

/** f32s in a canonical state. */
export function stateLength(parts: readonly StatePart[]): number {
  const last = parts.at(-1);
  return last === undefined ? 0 : last.offset + last.length;
}

/** Whether a sequence's state grows with its positions. */
export function grows(blocks: readonly Block[]): boolean {
  return blocks.some((b) => b.kind === "attention");
}

/** How many positions a canonical state of so many f32s has seen; 0 where nothing grows. Undefined when no state has that length. */
export function positionsOf(blocks: readonly Block[], length: number): number | undefined {
  const fixed = stateLength(stateLayout(blocks));
  const each = stateLength(stateLayout(blocks, 1)) - fixed;
  const positions = length === fixed ? 0 : (length - fixed) / each;
  return Number.isInteger(positions) && positions >= 0 && positions <= positionLimit(blocks) ? positions : undefined;
}
