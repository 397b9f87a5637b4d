import type { ChatMessage } from "../../../worker/engine/chat.ts";
import type { Model } from "../../../worker/engine/model.ts";
import { reply } from "./writer.ts";

/** The same for every model; each dialogue goes on with FOLLOW_UP. */
export const OPENINGS = [
  "Hello! How are you today?",
  "What is your favourite film?",
  "Can you recommend a good restaurant in San Francisco?",
  "Do you like music?",
  "What is the capital of France?",
  "Who won the game last night?",
  "I need to book a flight to New York.",
  "Tell me a story about a fox.",
  "Why is the sky blue?",
  "Can you give me advice on learning to cook?",
] as const;

export const FOLLOW_UP = "Interesting. Can you tell me more?";

const MOST_TOKENS = 200;

/** Opening, reply, FOLLOW_UP, reply; seeds count up from 0. */
export async function talk(model: Model): Promise<ChatMessage[][]> {
  const dialogues: ChatMessage[][] = [];
  for (const [seed, opening] of OPENINGS.entries()) {
    const messages: ChatMessage[] = [];
    for (const content of [opening, FOLLOW_UP]) {
      messages.push({ role: "user", content });
      const { text } = await reply(model, messages, { seed, maxTokens: MOST_TOKENS });
      messages.push({ role: "assistant", content: text });
    }
    dialogues.push(messages);
  }
  return dialogues;
}

export interface Endings {
  readonly replies: number;
  /** of them, those that ended by themselves within MOST_TOKENS. */
  readonly ended: number;
  readonly meanTokens: number;
}

/** Replies to given dialogues, each cut before an answer, another one in each. */
export async function countEndings(
  model: Model,
  dialogues: readonly (readonly ChatMessage[])[],
  onProgress: (done: number, total: number) => void,
): Promise<Endings> {
  let [ended, tokens] = [0, 0];
  for (const [i, messages] of dialogues.entries()) {
    const answers = messages.flatMap(({ role }, at) => (role === "assistant" ? [at] : []));
    const cut = answers[i % answers.length] ?? messages.length;
    const written = await reply(model, messages.slice(0, cut), { seed: i, maxTokens: MOST_TOKENS });
    if (written.ended) ended++;
    tokens += written.tokens.length;
    onProgress(i + 1, dialogues.length);
  }
  return { replies: dialogues.length, ended, meanTokens: tokens / Math.max(1, dialogues.length) };
}
