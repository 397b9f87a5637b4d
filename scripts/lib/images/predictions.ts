import { UsageError } from "../cli.ts";
import { readNpz } from "./npz.ts";
import type { Photographs } from "./photographs.ts";

/** What a model says of pictures. */
export interface Predictions {
  /** (n, classes). */
  readonly logits: Float32Array;
  readonly classes: number;
  /** number of the largest logit of each. */
  readonly said: Uint16Array;
}

export function predictionsOf(logits: Float32Array, classes: number): Predictions {
  const said = Uint16Array.from({ length: logits.length / classes }, (_, i) => {
    const own = logits.subarray(i * classes, (i + 1) * classes);
    return own.indexOf(Math.max(...own));
  });
  return { logits, classes, said };
}

/**
 * What the training wrote of the same pictures (predictions.npz of scripts/train/vision_checkpoint.py), as many as there are photographs.
 * @throws UsageError when the file is of other pictures
 */
export async function readPredictions(file: string, { labels, name }: Photographs): Promise<Predictions> {
  const arrays = await readNpz(file);
  const [logits, theirs] = [arrays.get("logits"), arrays.get("labels")];
  if (logits === undefined || theirs === undefined || logits.shape.length !== 2)
    throw new UsageError(`${file} must hold logits (n, classes) and labels, it holds ${[...arrays.keys()].join(", ")}`);
  const other = labels.findIndex((label, i) => label !== theirs.data[i]);
  if (other >= 0) {
    throw new UsageError(
      `${file} says label ${theirs.data[other]} of picture ${other}, ${name} says ${labels[other]}: they are of different pictures`,
    );
  }
  const classes = logits.shape[1]!;
  return predictionsOf(Float32Array.from(logits.data.subarray(0, labels.length * classes)), classes);
}

/** Share of the pictures of which both say the same class. */
export function agreement(a: Pick<Predictions, "said">, b: Pick<Predictions, "said">): number {
  return a.said.filter((class_, i) => class_ === b.said[i]).length / a.said.length;
}

/** The largest difference of a picture's logits over its largest logit, of all pictures the largest. */
export function worstDistance(a: Predictions, b: Predictions): number {
  let worst = 0;
  for (let i = 0; i < a.said.length; i++) {
    const [mine, theirs] = [a, b].map(({ logits, classes }) => logits.subarray(i * classes, (i + 1) * classes));
    const largest = Math.max(...theirs!.map(Math.abs));
    worst = Math.max(worst, Math.max(...mine!.map((v, c) => Math.abs(v - theirs![c]!))) / largest);
  }
  return worst;
}
