/** A table's rows: column → cell. */
export type Row = Readonly<Record<string, string | number>>;

/** As Markdown. */
export function table(rows: readonly Row[]): string {
  const columns = [...new Set(rows.flatMap((r) => Object.keys(r)))];
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |\n`;
  return (
    line(columns) + line(columns.map(() => "---")) + rows.map((r) => line(columns.map((c) => r[c] ?? ""))).join("")
  );
}
