import { TokenizerError } from "./errors.ts";

/** How a tokenizer's decoder makes bytes of a piece of its vocabulary. */
export interface PieceDecoder {
  bytes(piece: string): Uint8Array;
  /** Whether the decoder drops one space at the beginning of a text, which the encoder put there. */
  readonly dropsFirstSpace: boolean;
}

interface DecoderConfig {
  type?: unknown;
  decoders?: unknown;
  pattern?: { String?: unknown } | undefined;
  content?: unknown;
  start?: unknown;
  stop?: unknown;
  replacement?: unknown;
  prepend_scheme?: unknown;
  add_prefix_space?: unknown;
}

/** A step on the way from a piece to bytes: still text, or bytes already. */
type Step = (piece: string) => string | Uint8Array;

const utf8 = new TextEncoder();
const SUPPORTED = "ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip and Sequence";

/**
 * Reads the "decoder" of a tokenizer.json. Bytes, not text: a token may end inside of a character.
 * @throws {TokenizerError} for a decoder that is not made of the supported kinds, or cannot work token by token
 */
export function pieceDecoder(config: unknown): PieceDecoder {
  const steps: Step[] = [];
  let dropsFirstSpace = false;
  let fused = false;
  for (const part of flatten(config)) {
    switch (part.type) {
      case "ByteLevel":
        steps.push(byteLevel);
        break;
      case "ByteFallback":
        steps.push(byteFallback);
        break;
      case "Replace":
        steps.push(replace(part));
        break;
      case "Metaspace": {
        const space = typeof part.replacement === "string" ? part.replacement : "▁";
        steps.push((piece) => piece.replaceAll(space, " "));
        dropsFirstSpace ||= part.prepend_scheme !== "never" && part.add_prefix_space !== false;
        break;
      }
      case "Fuse":
        fused = true;
        break;
      case "Strip":
        // After Fuse it strips the whole text, before it every token, and no known tokenizer does that.
        if (!fused || part.content !== " " || part.start !== 1 || (part.stop ?? 0) !== 0) {
          throw new TokenizerError(
            `the decoder Strip ${JSON.stringify(part)} is not supported: only one of the first space, after Fuse, is`,
          );
        }
        dropsFirstSpace = true;
        break;
      default:
        throw new TokenizerError(
          `the decoder type ${JSON.stringify(part.type)} is not supported: supported are ${SUPPORTED}`,
        );
    }
  }
  return { bytes: (piece) => run(steps, piece), dropsFirstSpace };
}

function flatten(config: unknown): DecoderConfig[] {
  if (typeof config !== "object" || config === null) {
    throw new TokenizerError(`tokenizer.json has no decoder, supported are ${SUPPORTED}`);
  }
  const part: DecoderConfig = config;
  if (part.type !== "Sequence") return [part];
  if (!Array.isArray(part.decoders)) throw new TokenizerError("the decoder Sequence has no list of decoders");
  return part.decoders.flatMap(flatten);
}

function run(steps: readonly Step[], piece: string): Uint8Array {
  let text = piece;
  for (const step of steps) {
    const result = step(text);
    if (typeof result !== "string") return result;
    text = result;
  }
  return utf8.encode(text);
}

function replace(part: DecoderConfig): Step {
  const pattern = part.pattern?.String;
  const content = part.content;
  if (typeof pattern !== "string" || typeof content !== "string") {
    throw new TokenizerError("the decoder Replace is supported only with a pattern that is a plain String");
  }
  return (piece) => piece.replaceAll(pattern, () => content);
}

function byteFallback(piece: string): string | Uint8Array {
  const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece)?.[1];
  return hex === undefined ? piece : Uint8Array.of(Number.parseInt(hex, 16));
}

/** A piece with a character that stands for no byte is plain text, as in Hugging Face's ByteLevel decoder. */
function byteLevel(piece: string): string | Uint8Array {
  const bytes = new Uint8Array(piece.length);
  for (let i = 0; i < piece.length; i++) {
    const byte = BYTE_OF.get(piece.charCodeAt(i));
    if (byte === undefined) return piece;
    bytes[i] = byte;
  }
  return bytes;
}

/**
 * GPT-2's bytes_to_unicode (openai/gpt-2, encoder.py) turned round: printable Latin-1 characters stand for their own
 * byte, and the other 68 bytes, in order, are U+0100 to U+0143.
 */
const BYTE_OF: ReadonlyMap<number, number> = byteLevelTable();

function byteLevelTable(): Map<number, number> {
  const table = new Map<number, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    table.set(printable ? byte : next++, byte);
  }
  return table;
}
