import { MetaspacePreTokenizer, Tokenizer } from "@huggingface/tokenizers";
import { TokenizerError } from "./errors.ts";
import { type PieceDecoder, pieceDecoder } from "./token-bytes.ts";

interface AddedToken {
  id: number;
  content: string;
  special?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
}

interface TokenizerJson {
  model: { type?: string; vocab: Record<string, number>; merges: unknown[]; unk_token?: string | null };
  added_tokens: AddedToken[];
  decoder: unknown;
}

export interface EncodeOptions {
  /**
   * Whether "<|endoftext|>" and the like, spelled in the text, become the tokens that control the model. Only for text
   * that the project wrote itself, such as a chat template's: by default they are ordinary characters. Default false.
   */
  readonly allowSpecial?: boolean;
  /** With allowSpecial: rewrites each text between control tokens after they were found, see chat.ts. */
  readonly restore?: (text: string) => string;
  /** Whether other text comes before, as in DecodeOptions. Default false. */
  readonly continuing?: boolean;
}

export interface DecodeOptions {
  /** Whether other text comes before: then the space that some tokenizers put before a text stays. Default false. */
  readonly continuing?: boolean;
}

// The largest vocabularies in use have some 260,000 tokens; an array with a far larger index would eat the memory.
const MAX_TOKENS = 1 << 22;

/**
 * Text to tokens and back, from a Hugging Face tokenizer.json with a BPE model: byte-level (GPT-2, GPT-NeoX, Falcon,
 * Llama 3) or sentencepiece with byte fallback (Llama 2, Mistral). The algorithm is @huggingface/tokenizers, which
 * uses no code generation and thus runs in a Worker.
 */
export class TextTokenizer {
  /** One more than the largest token id. A model may have more rows than that: its padding, which has no text. */
  readonly vocab: number;
  /** The token between documents: "<|endoftext|>", "</s>", or the eos_token of tokenizer_config.json. */
  readonly endOfText: number | undefined;
  readonly #library: Tokenizer;
  readonly #pieces: readonly (string | undefined)[]; // (vocab)
  readonly #added: ReadonlySet<number>;
  readonly #controls: ReadonlyMap<string, AddedToken>;
  readonly #controlPattern: RegExp | undefined;
  readonly #decoder: PieceDecoder;
  readonly #text = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

  private constructor(json: TokenizerJson, config: Record<string, unknown>) {
    this.#decoder = pieceDecoder(json.decoder);
    const pieces: (string | undefined)[] = [];
    for (const [piece, id] of Object.entries(json.model.vocab)) pieces[checkId(id, piece)] = piece;
    for (const { id, content } of json.added_tokens) pieces[checkId(id, content)] = content;
    this.#pieces = pieces;
    this.#added = new Set(json.added_tokens.map(({ id }) => id));
    this.vocab = pieces.length;

    const eos = endOfText(json.added_tokens, config);
    this.endOfText = eos?.id;
    const controls = json.added_tokens.filter((token) => token === eos || isControl(token));
    this.#controls = new Map(controls.map((token) => [token.content, token]));
    this.#controlPattern = alternatives(controls.map(({ content }) => content));
    this.#library = new Tokenizer(withoutControls(json, this.#controls), config);
  }

  /**
   * @param json the bytes of tokenizer.json
   * @param config the bytes of tokenizer_config.json
   * @throws {TokenizerError} when they are malformed or of a kind that is not supported
   */
  static fromJson(json: Uint8Array, config?: Uint8Array): TextTokenizer {
    const parsed = checkJson(parse(json, "tokenizer.json"));
    const settings = config === undefined ? {} : parse(config, "tokenizer_config.json");
    try {
      return new TextTokenizer(parsed, settings);
    } catch (error) {
      if (error instanceof TokenizerError) throw error;
      throw new TokenizerError(`tokenizer.json cannot be used: ${(error as Error).message}`, { cause: error });
    }
  }

  /** The text's tokens, with none added in front or behind. */
  encode(text: string, { allowSpecial = false, continuing = false, restore }: EncodeOptions = {}): number[] {
    if (!allowSpecial || this.#controlPattern === undefined) {
      return this.#encodeOrdinary(restore?.(text) ?? text, !continuing);
    }
    const tokens: number[] = [];
    let rest = 0;
    let before: AddedToken | undefined;
    const ordinary = (end: number, after: AddedToken | undefined) => {
      let section = text.slice(rest, end);
      if (restore !== undefined) section = restore(section);
      if (before?.rstrip) section = section.trimStart();
      if (after?.lstrip) section = section.trimEnd();
      for (const token of this.#encodeOrdinary(section, before === undefined && !continuing)) tokens.push(token);
    };
    for (const match of text.matchAll(this.#controlPattern)) {
      const control = this.#controls.get(match[0])!;
      ordinary(match.index, control);
      tokens.push(control.id);
      rest = match.index + match[0].length;
      before = control;
    }
    ordinary(text.length, undefined);
    return tokens;
  }

  /**
   * The bytes the token stands for, which may begin or end inside of a UTF-8 character (see Utf8Stream); those of a
   * special token's spelling; none for an id without a piece. A space that begins a text is kept, see decode.
   * @throws {RangeError} when token is not an integer ≥ 0
   */
  bytes(token: number): Uint8Array {
    if (!Number.isInteger(token) || token < 0) throw new RangeError(`${token} is not a token`);
    const piece = this.#pieces[token];
    if (piece === undefined) return new Uint8Array(0);
    return this.#added.has(token) ? new TextEncoder().encode(piece) : this.#decoder.bytes(piece);
  }

  /** The spellings of the tokens that control the model. */
  get controls(): readonly string[] {
    return [...this.#controls.keys()];
  }

  /** Whether the token controls the model rather than being text. */
  isSpecial(token: number): boolean {
    const piece = this.#pieces[token];
    return piece !== undefined && this.#controls.get(piece)?.id === token;
  }

  /** The text of tokens, special ones spelled out; invalid UTF-8 becomes U+FFFD. */
  decode(tokens: readonly number[], { continuing = false }: DecodeOptions = {}): string {
    const parts = tokens.map((token) => this.bytes(token));
    const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let end = 0;
    for (const part of parts) {
      bytes.set(part, end);
      end += part.length;
    }
    const text = this.#text.decode(bytes);
    return !continuing && this.#decoder.dropsFirstSpace && text.startsWith(" ") ? text.slice(1) : text;
  }

  #encodeOrdinary(text: string, first: boolean): number[] {
    // "first" puts a space before a text, but not before what follows a special token, and only this class knows.
    const pre = this.#library.pre_tokenizer;
    const switched = !first && pre instanceof MetaspacePreTokenizer && pre.prepend_scheme === "first" ? pre : undefined;
    if (switched !== undefined) switched.prepend_scheme = "never";
    try {
      return this.#library.encode(text, { add_special_tokens: false }).ids;
    } finally {
      if (switched !== undefined) switched.prepend_scheme = "first";
    }
  }
}

/** Tokens flagged special, and those that are spelled like one: some chat models leave out the flag. */
function isControl({ special, content }: AddedToken): boolean {
  return special === true || /^<\|.+\|>$/.test(content);
}

function endOfText(added: readonly AddedToken[], config: Record<string, unknown>): AddedToken | undefined {
  const eos = config.eos_token;
  const named = typeof eos === "object" && eos !== null && "content" in eos ? eos.content : eos;
  for (const spelling of ["<|endoftext|>", "</s>", named]) {
    const token = added.find(({ content }) => content === spelling);
    if (token !== undefined) return token;
  }
  return undefined;
}

/**
 * The library finds added tokens in any text: without the control tokens, among the added ones and in the vocabulary,
 * no text can become one. The unknown token stays in the vocabulary, because the model answers with it.
 */
function withoutControls(json: TokenizerJson, controls: ReadonlyMap<string, AddedToken>): TokenizerJson {
  const vocab = { ...json.model.vocab };
  for (const content of controls.keys()) if (content !== json.model.unk_token) delete vocab[content];
  const added = json.added_tokens.filter(({ content }) => !controls.has(content));
  return { ...json, model: { ...json.model, vocab }, added_tokens: added };
}

function alternatives(spellings: string[]): RegExp | undefined {
  if (spellings.length === 0) return undefined;
  // Longest first: a regular expression takes the first alternative that fits.
  const sorted = spellings.toSorted((a, b) => b.length - a.length);
  return new RegExp(sorted.map((s) => s.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")).join("|"), "gu");
}

function parse(bytes: Uint8Array, name: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch (error) {
    throw new TokenizerError(`${name} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (!isRecord(value)) throw new TokenizerError(`${name} is not a JSON object`);
  return value;
}

function checkJson(json: Record<string, unknown>): TokenizerJson {
  const { model, added_tokens: added = [], decoder } = json;
  if (!isRecord(model) || !isRecord(model.vocab) || !Array.isArray(model.merges)) {
    const type = isRecord(model) ? model.type : undefined;
    throw new TokenizerError(
      `tokenizer.json has a model of type ${JSON.stringify(type)}: supported is BPE with its vocab and merges`,
    );
  }
  const isAdded = (token: unknown) =>
    isRecord(token) && typeof token.content === "string" && token.content !== "" && Number.isInteger(token.id);
  if (!Array.isArray(added) || !added.every(isAdded)) {
    throw new TokenizerError("the added_tokens of tokenizer.json are not a list of {id, content}");
  }
  const none = { normalizer: null, pre_tokenizer: null, post_processor: null };
  const checked = { ...none, ...json, model: { ...model, type: "BPE" }, added_tokens: added, decoder };
  return checked as unknown as TokenizerJson;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function checkId(id: unknown, piece: string): number {
  if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < MAX_TOKENS) return id;
  throw new TokenizerError(
    `the token ${JSON.stringify(piece)} has the id ${id}, not an integer from 0 to ${MAX_TOKENS - 1}`,
  );
}
