import type { ApiError } from "../http/api-error.ts";
import type { ChatLogprobs } from "../schemas/chat.ts";
import type { OutputMessage, OutputPart, ResponseObject } from "../schemas/response.ts";

/** An event of a streamed response. */
export interface ResponseEvent {
  readonly type: string;
  readonly sequence_number: number;
}

/**
 * The events of OpenAI's streamed responses in their order, numbered from 0. There is one output message with one part of text.
 *
 * @param begun the response as it begins
 * @example
 * const events = createResponseEvents(begun, itemId);
 * for (const event of [...events.begin(), events.delta("Hello", []), ...events.end(response)]) await send(event);
 */
export function createResponseEvents(begun: ResponseObject, itemId: string) {
  let next = 0;
  const event = (type: string, fields: object): ResponseEvent => ({ type, sequence_number: next++, ...fields });
  const place = { output_index: 0 };
  const inPart = { item_id: itemId, ...place, content_index: 0 };

  return {
    begin(): ResponseEvent[] {
      const item: OutputMessage = {
        id: itemId,
        type: "message",
        status: "in_progress",
        role: "assistant",
        content: [],
      };
      const part: OutputPart = { type: "output_text", text: "", annotations: [], logprobs: [] };
      return [
        event("response.created", { response: begun }),
        event("response.in_progress", { response: begun }),
        event("response.output_item.added", { ...place, item }),
        event("response.content_part.added", { ...inPart, part }),
      ];
    },
    delta(text: string, logprobs: ChatLogprobs["content"]): ResponseEvent {
      return event("response.output_text.delta", { ...inPart, delta: text, logprobs });
    },
    /** @param response as it ended */
    end(response: ResponseObject): ResponseEvent[] {
      const [item] = response.output;
      const part = item?.content[0];
      return [
        event("response.output_text.done", { ...inPart, text: part?.text ?? "", logprobs: part?.logprobs ?? [] }),
        event("response.content_part.done", { ...inPart, part }),
        event("response.output_item.done", { ...place, item }),
        event(`response.${response.status}`, { response }),
      ];
    },
    failed(error: ApiError): ResponseEvent {
      const code = error.status < 500 ? error.code : "server_error";
      const response: ResponseObject = {
        ...begun,
        status: "failed",
        store: false,
        error: { code, message: error.message },
      };
      return event("response.failed", { response });
    },
  };
}
