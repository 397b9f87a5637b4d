import { decodeTensor, encodeTensor, relativeRms } from "../../weights/quantize.ts";
import type { TensorInput } from "../../weights/writer.ts";

/** Tensors of the same part of every layer. */
interface Row {
  weights: number;
  bytes: number;
  tensors: number;
  /** Σ of squared relative errors: with scales from the largest weights, and as stored. */
  before: number;
  after: number;
}

/** What quantization took from the matrices of a package, by part and encoding. */
export class ErrorTable {
  readonly #rows = new Map<string, Row>();
  readonly #weighted: boolean;

  /** @param importance as given to the conversion; errors then are those of the products on the calibration text */
  constructor(importance: ReadonlyMap<string, ArrayLike<number>> | undefined) {
    this.#weighted = importance !== undefined;
  }

  /** To be called with each tensor as it is written. */
  readonly add = (tensor: TensorInput, bytes: Uint8Array): void => {
    const { name, shape, encoding, data, importance } = tensor;
    if (encoding === "f32") return;
    const error = (encoded: Uint8Array): number =>
      relativeRms(data, decodeTensor(shape, encoding, encoded), importance) ** 2;
    const part = `${name.replace(/^layers\.\d+\./, "").replace(/\.weight$/, "")} ${encoding}`;
    const row = this.#rows.get(part) ?? { weights: 0, bytes: 0, tensors: 0, before: 0, after: 0 };
    this.#rows.set(part, row);
    row.weights += data.length;
    row.bytes += bytes.length;
    row.tensors++;
    row.before += error(encodeTensor(name, shape, data, encoding, { search: false }));
    row.after += error(bytes);
  };

  /** Lines, or nothing when no tensor was quantized. */
  toString(): string {
    if (this.#rows.size === 0) return "";
    const lines = [
      ["matrices", "M weights", "bits", "error %", "was %"],
      ...[...this.#rows].map(([part, row]) => [part, ...sizes(row), percent(row.after, row), percent(row.before, row)]),
      ["all", ...sizes(sum([...this.#rows.values()]))],
    ];
    const text = lines.map(([part = "", ...cells]) => part.padEnd(16) + cells.map((c) => c.padStart(10)).join(""));
    const of = this.#weighted ? "the products with the calibration text's activations" : "the weights";
    return `${text.join("\n")}\n(error %: relative error of ${of}; was %: the same with scales from the largest weights)\n`;
  }
}

function sizes({ weights, bytes }: Pick<Row, "weights" | "bytes">): string[] {
  return [(weights / 1e6).toFixed(2), ((8 * bytes) / weights).toFixed(2)];
}

function percent(squares: number, { tensors }: Row): string {
  return (100 * Math.sqrt(squares / tensors)).toFixed(2);
}

function sum(rows: readonly Row[]): Pick<Row, "weights" | "bytes"> {
  return rows.reduce((a, r) => ({ weights: a.weights + r.weights, bytes: a.bytes + r.bytes }), {
    weights: 0,
    bytes: 0,
  });
}
