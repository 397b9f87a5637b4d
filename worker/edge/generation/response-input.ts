import type { StoredResponse } from "../responses/responses.ts";
import type { ChatRequest } from "../schemas/chat.ts";
import type { InputItem } from "../schemas/response.ts";
import type { RequestItem, ResponseRequest } from "../schemas/response-request.ts";

/** The items that come in with a request, as they are stored and listed. */
export function inputItems(input: ResponseRequest["input"]): InputItem[] {
  const items: RequestItem[] = typeof input === "string" ? [{ role: "user", content: input }] : input;
  return items.map(({ role, content }) => {
    const texts = typeof content === "string" ? [content] : content.map((part) => part.text);
    const id = newItemId();
    return role === "assistant"
      ? {
          id,
          type: "message",
          status: "completed",
          role,
          content: texts.map((text) => ({ type: "output_text", text, annotations: [] })),
        }
      : {
          id,
          type: "message",
          status: "completed",
          role,
          content: texts.map((text) => ({ type: "input_text", text })),
        };
  });
}

/** All items of a conversation: what came in and what was replied. */
export function conversationItems(past: readonly StoredResponse[]): InputItem[] {
  return past.flatMap(({ input, reply }) => [...input, ...reply.output]);
}

export function messageOf({ role, content }: InputItem): ChatRequest["messages"][number] {
  return { role, content: content.map((part) => part.text).join("") };
}

export function newItemId(): string {
  return `msg_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
}
