import type { Span, SpanOutput } from "../../backend.ts";
import type { SpanFlight } from "./sequence-blocks.ts";

/** A token that the head is wanted of. */
interface Row {
  readonly span: number;
  readonly token: number;
  readonly target: number;
}

/** What is wanted of the head in a pass: rows whose logits are kept, then the others. */
export interface WantedRows {
  readonly rows: readonly Row[];
  readonly kept: number;
  /** whether log-probabilities are wanted. */
  readonly scored: boolean;
}

export function wantedRows(spans: readonly Span[], flights: readonly SpanFlight[]): WantedRows {
  const kept: Row[] = [];
  const others: Row[] = [];
  spans.forEach(({ logits = "none", targets }, span) => {
    const { first, count } = flights[span]!;
    for (let t = 0; t < count; t++) {
      const row = { span, token: first + t, target: targets?.[t] ?? 0 };
      if (logits === "all" || (logits === "last" && t === count - 1)) kept.push(row);
      else if (targets !== undefined) others.push(row);
    }
  });
  return { rows: [...kept, ...others], kept: kept.length, scored: spans.some((s) => s.targets !== undefined) };
}

/** Bytes of what comes back: logits `stride` f32s apart, then log-probabilities. */
export function readbackBytes({ rows, kept, scored }: WantedRows, stride: number): number {
  return 4 * (kept * stride + (scored ? rows.length : 0));
}

/** By span. */
export function readRows(
  { rows, kept }: WantedRows,
  spans: readonly Span[],
  bytes: ArrayBuffer,
  stride: number,
  width: number,
): SpanOutput[] {
  return spans.map(({ targets }, span) => {
    const own = rows.map((row, i) => ({ ...row, i })).filter((row) => row.span === span);
    const withLogits = own.filter(({ i }) => i < kept);
    const logits = new Float32Array(withLogits.length * width);
    withLogits.forEach(({ i }, at) => {
      logits.set(new Float32Array(bytes, 4 * i * stride, width), at * width);
    });
    if (targets === undefined) return { logits, logProbs: new Float32Array(0) };
    const inOrder = own.toSorted((a, b) => a.token - b.token);
    const logProbs = Float32Array.from(inOrder, ({ i }) => new Float32Array(bytes, 4 * (kept * stride + i), 1)[0]!);
    return { logits, logProbs };
  });
}
