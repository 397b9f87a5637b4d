import { describe, expect, test } from "vitest";
import { TokenizerError } from "../../worker/engine/errors.ts";
import { draw } from "../../worker/engine/random.ts";
import { TextTokenizer } from "../../worker/engine/tokenizer.ts";
import { Utf8Stream } from "../../worker/engine/utf8-stream.ts";
import { byteCharacters, byteLevelJson, jsonBytes, sentencepieceJson } from "./tiny-tokenizer.ts";

const byteLevel = TextTokenizer.fromJson(jsonBytes(byteLevelJson()));
const sentencepiece = TextTokenizer.fromJson(jsonBytes(sentencepieceJson()));
const utf8 = new TextEncoder();

/** The id of a byte-level piece. */
const { vocab } = byteLevelJson().model as { vocab: Record<string, number> };
const id = (piece: string) => vocab[piece]!;

describe("byte-level", () => {
  test("merges, and keeps the space with the word after it", () => {
    expect(byteLevel.encode("hello world")).toEqual([id("hello"), id("Ġwor"), id("l"), id("d")]);
  });

  test("vocab counts up to the largest id", () => {
    expect(byteLevel.vocab).toBe(268);
    expect(byteLevel.endOfText).toBe(0);
  });

  test("every byte has its piece", () => {
    for (const [byte, character] of byteCharacters().entries()) {
      expect([...byteLevel.bytes(id(character))], character).toEqual([byte]);
    }
  });

  test.each([
    "",
    "hello",
    " two  spaces",
    "héllo wörld",
    "日本語",
    "😀👍🏽",
    "\0\t\n\r\u007f",
    "Ġ▁ĀŃ",
    "<0x41>",
    "\ufeffBOM",
  ])("decodes what it encoded: %j", (text) => {
    expect(byteLevel.decode(byteLevel.encode(text))).toBe(text);
  });

  test("decodes what it encoded: random text", () => {
    const alphabet = ["h", "e", "l", "o", " ", "  ", "w", "<|", "|>", "<|user|>", "é", "😀", "\n", "日", "'s", "7"];
    for (let round = 0; round < 300; round++) {
      const length = Math.floor(draw(1, round) * 20);
      const text = Array.from(
        { length },
        (_, i) => alphabet[Math.floor(draw(2, round * 100 + i) * alphabet.length)],
      ).join("");
      const tokens = byteLevel.encode(text);
      expect(byteLevel.decode(tokens)).toBe(text.normalize("NFC"));
      expect(tokens.filter((token) => byteLevel.isSpecial(token))).toEqual([]);
      const stream = new Utf8Stream();
      expect(tokens.map((token) => stream.push(byteLevel.bytes(token))).join("")).toBe(text.normalize("NFC"));
    }
  });

  test("a token may end inside of a character", () => {
    const [first, ...rest] = byteLevel.encode("€");
    expect([...byteLevel.bytes(first!)]).toEqual([0xe2]);
    expect(byteLevel.decode([first!])).toBe("\ufffd");
    expect(byteLevel.decode([first!, ...rest])).toBe("€");
  });

  test("half of a surrogate pair is encoded as U+FFFD", () => {
    expect(byteLevel.decode(byteLevel.encode("a\ud83d"))).toBe("a\ufffd");
  });
});

describe("special tokens", () => {
  test("their spelling in a text is ordinary characters", () => {
    const tokens = byteLevel.encode("hello<|endoftext|>hello");
    expect(tokens).not.toContain(0);
    expect(byteLevel.decode(tokens)).toBe("hello<|endoftext|>hello");
  });

  test("a chat token without the flag is guarded too", () => {
    expect(byteLevel.encode("<|user|>")).not.toContain(1);
    expect(byteLevel.isSpecial(1)).toBe(true);
  });

  test("an ordinary added token is no special one", () => {
    expect(byteLevel.encode("a  b")).toEqual([id("a"), 267, id("b")]);
    expect(byteLevel.isSpecial(267)).toBe(false);
  });

  test("are found when allowed", () => {
    expect(byteLevel.encode("<|user|>hello<|endoftext|>", { allowSpecial: true })).toEqual([1, id("hello"), 0]);
    expect(byteLevel.decode([1, id("hello"), 0])).toBe("<|user|>hello<|endoftext|>");
  });

  test("of two that fit, the longer is found", () => {
    const json = byteLevelJson();
    const added = json.added_tokens as object[];
    added.push({ id: 268, content: "<|user|>!", special: true }, { id: 269, content: "(.*)", special: true });
    const tokenizer = TextTokenizer.fromJson(jsonBytes(json));
    expect(tokenizer.encode("<|user|>!<|user|>(.*)", { allowSpecial: true })).toEqual([268, 1, 269]);
  });

  test("lstrip and rstrip take the spaces beside them", () => {
    const json = byteLevelJson();
    (json.added_tokens as object[]).push({ id: 268, content: "<mask>", special: true, lstrip: true, rstrip: true });
    const tokenizer = TextTokenizer.fromJson(jsonBytes(json));
    expect(tokenizer.encode("h <mask> h", { allowSpecial: true })).toEqual([id("h"), 268, id("h")]);
  });

  test("not even the merges make one", () => {
    expect(sentencepiece.encode("</s>")).not.toContain(2);
    expect(sentencepiece.decode(sentencepiece.encode("</s>"))).toBe("</s>");
    expect(sentencepiece.encode("</s>", { allowSpecial: true })).toEqual([2]);
  });

  test("nor does a vocabulary looked up before the merges", () => {
    const json = byteLevelJson();
    Object.assign(json, { pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: false } });
    Object.assign(json.model as object, { ignore_merges: true });
    const tokenizer = TextTokenizer.fromJson(jsonBytes(json));
    expect(tokenizer.encode("hello")).toEqual([id("hello")]);
    expect(tokenizer.encode("<|endoftext|>")).not.toContain(0);
  });

  test.each([
    { title: "named as text", config: { eos_token: "<stop>" } },
    { title: "named as an object", config: { eos_token: { content: "<stop>" } } },
  ])("endOfText is the eos_token of the configuration, $title", ({ config }) => {
    const json = byteLevelJson();
    json.added_tokens = [{ id: 5, content: "<stop>", special: true }];
    expect(TextTokenizer.fromJson(jsonBytes(json), jsonBytes(config)).endOfText).toBe(5);
    expect(TextTokenizer.fromJson(jsonBytes(json)).endOfText).toBeUndefined();
  });
});

describe("sentencepiece", () => {
  const piece = (text: string) => (sentencepieceJson().model as { vocab: Record<string, number> }).vocab[text]!;

  test("a text begins with a space that decode drops and a continuation keeps", () => {
    expect(sentencepiece.encode("hi hi")).toEqual([piece("▁hi"), piece("▁hi")]);
    expect(sentencepiece.decode([piece("▁hi"), piece("▁hi")])).toBe("hi hi");
    expect(sentencepiece.decode([piece("▁hi")], { continuing: true })).toBe(" hi");
    expect(new TextDecoder().decode(sentencepiece.bytes(piece("▁hi")))).toBe(" hi");
  });

  test("characters without a piece are bytes", () => {
    const tokens = sentencepiece.encode("€");
    expect(tokens).toEqual([piece("▁"), piece("<0xE2>"), piece("<0x82>"), piece("<0xAC>")]);
    expect([...sentencepiece.bytes(piece("<0x82>"))]).toEqual([0x82]);
    expect(sentencepiece.decode(tokens)).toBe("€");
    expect(sentencepiece.endOfText).toBe(2);
  });

  test.each([
    { scheme: "first", tokens: ["▁hi", 2, "hi"], text: "hi</s>hi" },
    { scheme: "always", tokens: ["▁hi", 2, "▁hi"], text: "hi</s> hi" },
    { scheme: "never", tokens: ["hi", 2, "hi"], text: "hi</s>hi" },
  ])("Metaspace with prepend_scheme $scheme", ({ scheme, tokens, text }) => {
    const metaspace = { type: "Metaspace", replacement: "▁", prepend_scheme: scheme, split: false };
    const json = { ...sentencepieceJson(), normalizer: null, pre_tokenizer: metaspace, decoder: metaspace };
    const tokenizer = TextTokenizer.fromJson(jsonBytes(json));
    const want = tokens.map((token) => (typeof token === "number" ? token : piece(token)));
    expect(tokenizer.encode("hi</s>hi", { allowSpecial: true })).toEqual(want);
    expect(tokenizer.decode(want)).toBe(text);
    expect(tokenizer.decode([piece("▁hi")])).toBe(scheme === "never" ? " hi" : "hi");
    // The switch for the second section is put back.
    expect(tokenizer.encode("hi")).toEqual([want[0]]);
  });
});

describe("ids without a piece", () => {
  test.each([268, 50279])("%i, the model's padding, has no text", (token) => {
    expect(byteLevel.bytes(token).length).toBe(0);
    expect(byteLevel.isSpecial(token)).toBe(false);
  });

  test.each([-1, 1.5, Number.NaN])("%d is no token", (token) => {
    expect(() => byteLevel.bytes(token)).toThrow(RangeError);
  });
});

describe("errors", () => {
  const model = byteLevelJson().model as object;
  test.each([
    { title: "not JSON", bytes: utf8.encode("{"), message: /tokenizer\.json is not JSON/ },
    { title: "not UTF-8", bytes: Uint8Array.of(0x22, 0xff, 0x22), message: /tokenizer\.json is not JSON/ },
    { title: "a list", bytes: jsonBytes([]), message: /not a JSON object/ },
    { title: "no model", bytes: jsonBytes({}), message: /model of type undefined: supported is BPE/ },
    {
      title: "a Unigram model",
      change: { model: { type: "Unigram", vocab: [["a", 0]] } },
      message: /"Unigram": supported is BPE/,
    },
    { title: "a WordPiece model", change: { model: { type: "WordPiece", vocab: { a: 0 } } }, message: /"WordPiece"/ },
    { title: "no decoder", change: { decoder: null }, message: /no decoder/ },
    {
      title: "an unknown decoder",
      change: { decoder: { type: "Morse" } },
      message: /decoder type "Morse" is not supported/,
    },
    {
      title: "an unknown decoder in a sequence",
      change: { decoder: { type: "Sequence", decoders: [{ type: "CTC" }] } },
      message: /decoder type "CTC"/,
    },
    {
      title: "a Strip of every token",
      change: { decoder: { type: "Strip", content: " ", start: 1, stop: 0 } },
      message: /Strip/,
    },
    {
      title: "an unknown pre-tokenizer",
      change: { pre_tokenizer: { type: "Morse" } },
      message: /cannot be used: .*Morse/,
    },
    {
      title: "added tokens of another form",
      change: { added_tokens: [{ id: "0", content: "x" }] },
      message: /added_tokens/,
    },
    {
      title: "an id that is no number",
      change: { model: { ...model, vocab: { a: "0" } } },
      message: /token "a" has the id 0/,
    },
    { title: "a huge id", change: { model: { ...model, vocab: { a: 1e12 } } }, message: /1000000000000/ },
  ])("$title", ({ bytes, change, message }) => {
    const json = bytes ?? jsonBytes({ ...byteLevelJson(), ...change });
    expect(() => TextTokenizer.fromJson(json)).toThrow(TokenizerError);
    expect(() => TextTokenizer.fromJson(json)).toThrow(message);
  });

  test("a malformed configuration is named", () => {
    expect(() => TextTokenizer.fromJson(jsonBytes(byteLevelJson()), utf8.encode("x"))).toThrow(
      /tokenizer_config\.json is not JSON/,
    );
  });
});
