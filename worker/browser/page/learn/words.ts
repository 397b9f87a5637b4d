import { inWords } from "../access.ts";
import type { Point } from "./features.ts";
import type { Answer, InContextModel, Where } from "./service.ts";
import { list, TRAINING } from "./study.ts";

const PLACES: Record<Where, string> = { wasm: "WASM", webgpu: "WebGPU", rest: "edge", session: "session" };

/** Mean squared error of what was predicted of each example before its y was seen. */
export function errorOf(before: readonly number[], seen: readonly Point[]): string {
  if (seen.length === 0) return "–";
  return (seen.reduce((sum, { y }, i) => sum + (y - before[i]!) ** 2, 0) / seen.length).toFixed(3);
}

/** With the model's name in front, where the message does not begin with it. Which version of it is of no use on the page. */
export function faultOf({ name }: InContextModel, error: Error): string {
  const message = inWords(error).replaceAll(/(?<=^|\s)([\w.-]+)@[0-9a-f]{12}\b/g, "$1");
  return `${message.startsWith(name) ? message : `${name}: ${message}`}`.replace(/\.?$/, ".");
}

/** Of models that have no room for the examples that are seen. */
export function roomOf(models: readonly InContextModel[]): string {
  const told = byCount(models, ({ room }) => room).map(([names, room]) => {
    const many = names.length > 1;
    return `${list(names)} ${many ? "have" : "has"} room for ${room} examples and ${many ? "draw" : "draws"} no curve beyond ${many ? "them" : "that"}.`;
  });
  return told.join(" ");
}

/** Of models that see more examples than they were trained with. */
export function beyondOf(models: readonly InContextModel[], seen: number): string {
  const beyond = models.filter(({ trained }) => trained !== null && seen > trained);
  return byCount(beyond, ({ trained }) => trained ?? 0)
    .map(
      ([names, trained]) =>
        `${list(names)} ${names.length > 1 ? "were" : "was"} trained with up to ${trained} examples: beyond them the curve may be worse.`,
    )
    .join(" ");
}

/** Names of the models that share a number, with it. */
function byCount(models: readonly InContextModel[], count: (model: InContextModel) => number): [string[], number][] {
  const groups = Map.groupBy(models, count);
  return [...groups].map(([number, sharing]) => [sharing.map(({ name }) => name), number]);
}

export function timeOf({ milliseconds, where, added, kept }: Answer): string {
  const told = `${milliseconds.toFixed(0)} ms, ${PLACES[where]}`;
  return added === undefined ? told : `${told}: +${added}, ${kept} kept`;
}

/** What the models were trained on, in words. */
export function training(width: number): string {
  const { inputs, points, firstInputs, hold, curriculum } = TRAINING;
  if (width !== inputs) return `The models here take ${width} numbers an example.`;
  const part = (of: number): string => `${Math.round(100 * of)} %`;
  return (
    `The models were trained on y = w·x in ${inputs} dimensions, without noise, every number of x and w from N(0, 1), ${points} points a prompt; ` +
    `for the first ${part(hold)} of the training ${firstInputs} of the ${inputs} numbers were in use, from ${part(curriculum)} on all of them. ` +
    "A line in the plane, an x and a constant in place of so many numbers, is not what they were trained on last, and how it is laid into the numbers matters. " +
    `With random numbers beside it prompts are as in training, and it takes ${inputs} examples to tell which ones matter, least squares too.`
  );
}
