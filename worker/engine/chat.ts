import { Template } from "@huggingface/jinja";
import { ModelError, ParameterError } from "./errors.ts";
import type { Model } from "./model.ts";
import type { TextTokenizer } from "./tokenizer.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** A conversation as the model reads it. */
export interface Conversation {
  /** the opening `<|endoftext|>` included. */
  readonly tokens: readonly number[];
  /** how many tokens there are up to the end of each message's content, ascending: the same in every longer conversation. */
  readonly boundaries: readonly number[];
}

/** How a model's chats are written as tokens. */
export interface ChatFormat {
  /**
   * @param reply whether the tokens end where a reply begins, or with the last message
   * @throws ParameterError when the template refuses the messages
   */
  conversation(messages: readonly ChatMessage[], reply: boolean): Conversation;
  /** what the template writes at the end of a reply; besides the end-of-text token. */
  readonly endTokens: ReadonlySet<number>;
}

/**
 * Of packages without a template. A base model has learned no roles, and marks that it never saw would only confuse it: messages
 * are paragraphs, and the reply is the next one.
 */
export const PLAIN_TEMPLATE =
  '{% for message in messages %}{% if not loop.first %}{{ "\\n\\n" }}{% endif %}{{ message.content }}{% endfor %}' +
  '{% if add_generation_prompt %}{{ "\\n\\n" }}{% endif %}';

/** Tokens that begin a text themselves, in the spellings of the families that have one. */
const OPENINGS = ["<s>", "<bos>", "<|begin_of_text|>"];

const formats = new WeakMap<Model, ChatFormat>();

/**
 * The model's chat format, made once.
 * @throws ModelError when it has no tokenizer or its template is not Jinja
 * @example
 * const { tokens } = chatFormat(model).conversation([{ role: "user", content: "Hello" }], true);
 */
export function chatFormat(model: Model): ChatFormat {
  let format = formats.get(model);
  if (format === undefined) {
    format = createChatFormat(model.requireTokenizer(), model.chatTemplate);
    formats.set(model, format);
  }
  return format;
}

/**
 * Renders with marks around every content. They show where contents begin and end, and stand for the special tokens spelled inside:
 * only what the template itself writes becomes a control token. Otherwise the tokens are those of the rendered text, split at the
 * ends of contents and where a reply begins, so that a conversation's tokens do not change as it grows.
 */
export function createChatFormat(tokenizer: TextTokenizer, source = PLAIN_TEMPLATE): ChatFormat {
  const template = parse(source);
  const controls = tokenizer.controls.toSorted((a, b) => b.length - a.length);
  const names = {
    bos_token: OPENINGS.find((spelling) => controls.includes(spelling)) ?? spellingOf(tokenizer),
    eos_token: spellingOf(tokenizer),
  };

  function conversation(messages: readonly ChatMessage[], reply: boolean): Conversation {
    const marks = chooseMarks(messages, controls);
    const contents = messages.map(({ content }) => marks.wrap(content));
    const text = render(
      messages.map(({ role }, i) => ({ role, content: contents[i]! })),
      reply,
    );
    const tokens: number[] = [];
    const boundaries: number[] = [];
    let start = 0;
    const take = (end: number): void => {
      const options = { allowSpecial: true, continuing: start > 0, restore: marks.restore };
      for (const token of tokenizer.encode(text.slice(start, end), options)) tokens.push(token);
      start = end;
    };
    for (const [i, { role, content }] of messages.entries()) {
      const found = marks.find(text, contents[i]!, content, start);
      if (found === undefined) continue;
      if (role === "assistant") take(found.start);
      take(found.end);
      boundaries.push(tokens.length);
    }
    take(text.length);
    const opening = openingOf(tokenizer, tokens);
    return { tokens: [...opening, ...tokens], boundaries: boundaries.map((end) => end + opening.length) };
  }

  function render(messages: readonly ChatMessage[], reply: boolean): string {
    try {
      return template.render({ ...names, messages, add_generation_prompt: reply });
    } catch (error) {
      throw new ParameterError(
        `the model's chat template refuses the messages (${(error as Error).message}): change their roles or order`,
        "messages",
      );
    }
  }

  /** The control token that follows a reply, where the template writes one. */
  function endOfTurn(): number | undefined {
    try {
      const probe = [
        { role: "user", content: "a" },
        { role: "assistant", content: "b" },
      ];
      const { tokens, boundaries } = conversation(probe, false);
      return tokens.slice(boundaries[1]).find((token) => tokenizer.isSpecial(token));
    } catch {
      return undefined;
    }
  }

  const end = endOfTurn();
  return { conversation, endTokens: new Set(end === undefined ? [] : [end]) };
}

interface Marks {
  wrap(content: string): string;
  /** The text of a wrapped content, or of a piece of a rendered text. */
  restore(text: string): string;
  /** Where a wrapped content begins and ends in a rendered text, its outer spaces included where the template kept them. */
  find(text: string, wrapped: string, content: string, from: number): { start: number; end: number } | undefined;
}

/** Marks are written with a character that Unicode reserves for a program's own use, one that no content has. */
function chooseMarks(messages: readonly ChatMessage[], controls: readonly string[]): Marks {
  const own = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i));
  const mark = own.find((c) => !messages.some(({ content }) => content.includes(c)));
  if (mark === undefined) {
    throw new ParameterError(
      "messages hold all 32 of Unicode's noncharacters U+FDD0 to U+FDEF: leave one out",
      "messages",
    );
  }
  const pattern = new RegExp(`${mark}(\\d*)${mark}`, "g");
  const edge = mark + mark;
  return {
    wrap(content) {
      const body = content.trim();
      if (body === "") return content;
      const at = content.indexOf(body);
      const shielded = controls.reduce((text, spelling, i) => text.replaceAll(spelling, `${mark}${i}${mark}`), body);
      return `${content.slice(0, at)}${edge}${shielded}${edge}${content.slice(at + body.length)}`;
    },
    restore: (text) => text.replace(pattern, (_, i: string) => (i === "" ? "" : controls[Number(i)]!)),
    find(text, wrapped, content, from) {
      const body = wrapped.trim();
      const at = body === "" ? -1 : text.indexOf(body, from);
      if (at < 0) return undefined;
      const [before, after] = [wrapped.slice(0, wrapped.indexOf(body)), content.slice(content.trimEnd().length)];
      const end = at + body.length;
      return {
        start: text.slice(from, at).endsWith(before) ? at - before.length : at,
        end: text.startsWith(after, end) ? end + after.length : end,
      };
    },
  };
}

/** As generate() opens a fresh sequence, unless the template wrote an opening of its own. */
function openingOf(tokenizer: TextTokenizer, tokens: readonly number[]): number[] {
  const { endOfText } = tokenizer;
  const [first] = tokens;
  if (endOfText === undefined || first === endOfText) return [];
  const opened = first !== undefined && tokenizer.isSpecial(first) && OPENINGS.includes(tokenizer.decode([first]));
  return opened ? [] : [endOfText];
}

function spellingOf(tokenizer: TextTokenizer): string {
  return tokenizer.endOfText === undefined ? "" : tokenizer.decode([tokenizer.endOfText]);
}

function parse(source: string): Template {
  try {
    return new Template(source);
  } catch (error) {
    throw new ModelError(`the package's chat template is not Jinja (${(error as Error).message}): convert it again`);
  }
}
