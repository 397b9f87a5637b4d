import type { Block } from "./blocks.ts";

/**
 * One piece of the recurrent state of one sequence, row-major f32, in canonical order.
 * Canonical order is block by block; in a Mamba block conv, then ssm. Every backend reads and writes this order, whatever it keeps inside.
 */
export interface StatePart {
  /** index into the block list. */
  readonly block: number;
  readonly name: "conv" | "ssm";
  readonly shape: readonly number[];
  /** first element, in f32s from the start of the canonical state. */
  readonly offset: number;
  readonly length: number;
}

/** The parts of a sequence's state, in canonical order. */
export function stateLayout(blocks: readonly Block[]): StatePart[] {
  const parts: StatePart[] = [];
  let offset = 0;
  const add = (block: number, name: StatePart["name"], shape: readonly number[]): void => {
    const length = shape.reduce((a, b) => a * b, 1);
    parts.push({ block, name, shape, offset, length });
    offset += length;
  };
  blocks.forEach((b, i) => {
    if (b.kind !== "mamba") return;
    add(i, "conv", [b.conv - 1, b.inner]);
    add(i, "ssm", [b.inner, b.state]);
  });
  return parts;
}

/** f32s in a canonical state. */
export function stateLength(parts: readonly StatePart[]): number {
  const last = parts.at(-1);
  return last === undefined ? 0 : last.offset + last.length;
}
