import { badValue } from "../http/api-error.ts";
import { show } from "../http/show.ts";

type Nested = readonly (number | Nested)[];

/**
 * The numbers of a tensor, whose data are flat, or nested as deeply as its shape says. How many there are is the caller's to check.
 * @param at where the tensor is, such as "inputs[0]"
 * @throws ApiError 400 with the nesting and the shape that were seen
 */
export function numbersOf({ shape, data }: { shape: readonly number[]; data: Nested }, at: string): number[] {
  const nested = nestingOf(data);
  if (nested.length > 1 && nested.length !== shape.length) {
    throw badValue(
      `${at}.data`,
      `${at}.data is nested as ${show(nested)}, ${at}.shape is ${show(shape)}: give the numbers flat, or nested as the shape says`,
    );
  }
  return (data as unknown[]).flat(nested.length - 1) as number[];
}

/** Lengths of the first list at each depth. */
function nestingOf(data: Nested): number[] {
  const [first] = data;
  return [data.length, ...(typeof first === "object" ? nestingOf(first) : [])];
}
