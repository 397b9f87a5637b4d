import type { ChatMessage, Example } from "./api.ts";
import { address as anAddress, check, numbers, oneOf, record, text, wrong } from "./kinds.ts";

/* What a call is given, checked before it goes to the Web Worker: without types, mistakes would be found in its midst. */

const role = oneOf("system", "user", "assistant");

/** @throws Error named ParameterError */
export function checkMessages(messages: readonly ChatMessage[]): void {
  if (!Array.isArray(messages) || messages.length === 0)
    throw wrong("messages", messages, 'a list of at least one message, such as [{ role: "user", content: "Hello" }]');
  messages.forEach((message: Partial<ChatMessage>, i) => {
    check(`messages[${i}]`, message, record, ' such as { role: "user", content: "Hello" }');
    check(`messages[${i}].role`, message.role, role);
    check(`messages[${i}].content`, message.content, text);
  });
}

/** @throws Error named ParameterError; lengths, and numbers that are not finite, are the model's to refuse */
export function checkExamples(examples: readonly Example[]): void {
  if (!Array.isArray(examples)) throw wrong("examples", examples, "a list of examples { x, y }");
  examples.forEach((example: Partial<Example>, i) => {
    check(`examples[${i}]`, example, record, " { x, y }, where x is a list of numbers and y a number");
    check(`examples[${i}].x`, example.x, numbers);
    const { y } = example;
    if (typeof y !== "number" && !numbers.fits(y)) throw wrong(`examples[${i}].y`, y, "a number, or a list of numbers");
  });
}

/** @throws Error named ParameterError */
export function checkQueries(queries: readonly (readonly number[])[]): void {
  if (!Array.isArray(queries)) throw wrong("queries", queries, "a list of queries, each a list of numbers");
  queries.forEach((query, i) => {
    check(`queries[${i}]`, query, numbers, ": queries are a list of such lists, also where there is one");
  });
}

/**
 * @param param what the address is called
 * @param base what a relative one starts from
 * @throws Error named ParameterError
 */
export function addressOf(param: string, address: string | URL, base: string): string {
  if (!anAddress.fits(address) || !URL.canParse(address, base)) throw wrong(param, address, anAddress.what);
  return new URL(address, base).href;
}
