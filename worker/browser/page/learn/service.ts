import { byId } from "../dom.ts";
import { features, type Point } from "./features.ts";

export interface InContextModel {
  readonly id: string;
  readonly name: string;
  /** numbers of an x. */
  readonly inputs: number;
  readonly outputs: number;
}

export interface Answer {
  /** of each x asked. */
  readonly predictions: readonly number[];
  /** of each example, before its y was seen. */
  readonly before: readonly number[];
  /** what the model remembers of the examples. */
  readonly stateBytes: number;
}

interface Listed {
  readonly id: string;
  readonly name: string;
  readonly inputs?: number;
  readonly outputs?: number;
}

/** Those installed that predict a number. */
export async function inContextModels(): Promise<InContextModel[]> {
  const listed = (await (await fetch("/weights/index.json")).json()) as Listed[];
  return listed.flatMap(({ id, name, inputs, outputs }) =>
    inputs !== undefined && outputs === 1 ? [{ id, name, inputs, outputs }] : [],
  );
}

/** @throws Error with the Worker's own words */
export async function ask(
  { id, inputs }: InContextModel,
  examples: readonly Point[],
  xs: readonly number[],
): Promise<Answer> {
  const key = byId<HTMLInputElement>("key").value.trim();
  const response = await fetch("/v1/icl/predictions", {
    method: "POST",
    headers: { "content-type": "application/json", ...(key !== "" && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({
      model: id,
      examples: examples.map(({ x, y }) => ({ x: features(x, inputs), y })),
      query: xs.map((x) => features(x, inputs)),
    }),
  });
  const reply = await response.json();
  if (!response.ok) throw new Error(reply.error.message);
  return { predictions: reply.predictions, before: reply.before, stateBytes: reply.usage.state_bytes };
}
