import { describe, expect, test } from "vitest";
import { draw } from "../../worker/engine/random.ts";
import { Utf8Stream } from "../../worker/engine/utf8-stream.ts";

const whole = (bytes: Uint8Array) => new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(bytes);

/** Pushes the pieces, going on from `pending` in a new stream each time. */
function streamed(pieces: Uint8Array[]): string {
  let stream = new Utf8Stream();
  let text = "";
  for (const piece of pieces) {
    text += stream.push(piece);
    stream = new Utf8Stream(stream.pending);
  }
  return text + stream.flush();
}

describe("any split gives the text of TextDecoder over the whole", () => {
  const cases = [
    { title: "ASCII", bytes: [0x61, 0x62] },
    { title: "two bytes", bytes: [0xc3, 0xa9] },
    { title: "three bytes", bytes: [0xe2, 0x82, 0xac] },
    { title: "four bytes", bytes: [0xf0, 0x9f, 0x98, 0x80] },
    { title: "byte order marks", bytes: [0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf] },
    { title: "a lone continuation", bytes: [0x80, 0x61] },
    { title: "an overlong form", bytes: [0xc0, 0x80, 0xe0, 0x80, 0x80, 0xf0, 0x8f, 0xbf, 0xbf] },
    { title: "a surrogate", bytes: [0xed, 0xa0, 0x80] },
    { title: "beyond U+10FFFF", bytes: [0xf4, 0x90, 0x80, 0x80, 0xf5, 0x80] },
    { title: "cut by another character", bytes: [0xf0, 0x9f, 0xe2, 0x82, 0xc3, 0x61] },
    { title: "cut by the end", bytes: [0x61, 0xf0, 0x9f, 0x98] },
    { title: "FE and FF", bytes: [0xfe, 0xff] },
  ];
  test.each(cases)("$title", ({ bytes }) => {
    const all = Uint8Array.from(bytes);
    for (let mask = 0; mask < 2 ** (all.length - 1); mask++) {
      const pieces: Uint8Array[] = [];
      let from = 0;
      for (let at = 1; at <= all.length; at++) {
        if (at < all.length && ((mask >> (at - 1)) & 1) === 0) continue;
        pieces.push(all.subarray(from, at));
        from = at;
      }
      expect(streamed(pieces)).toBe(whole(all));
    }
  });

  test("random bytes, mostly leads and continuations", () => {
    const likely = [
      0x61, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf3, 0xf4, 0xf5, 0xbb,
    ];
    for (let round = 0; round < 5000; round++) {
      const random = (i: number) => draw(round, i);
      const bytes = Uint8Array.from({ length: Math.floor(random(0) * 12) }, (_, i) =>
        random(1 + i) < 0.9 ? likely[Math.floor(random(100 + i) * likely.length)]! : Math.floor(random(200 + i) * 256),
      );
      const pieces: Uint8Array[] = [];
      for (let from = 0, n = 0; from < bytes.length; n++) {
        const to = from + Math.floor(random(300 + n) * 4);
        pieces.push(bytes.subarray(from, to));
        from = to;
      }
      expect(streamed(pieces), `[${bytes}]`).toBe(whole(bytes));
    }
  });
});

describe("what is held back", () => {
  test.each([
    { bytes: [0xf0, 0x9f, 0x98], text: "", pending: 3 },
    { bytes: [0x61, 0xe2, 0x82], text: "a", pending: 2 },
    { bytes: [0xc3], text: "", pending: 1 },
    { bytes: [0xe2, 0x82, 0xac], text: "€", pending: 0 },
    { bytes: [0xe0, 0x80], text: "\ufffd\ufffd", pending: 0 },
    { bytes: [0xe0, 0x9f], text: "\ufffd\ufffd", pending: 0 },
    { bytes: [0xe0, 0xa0], text: "", pending: 2 },
    { bytes: [0xf0, 0x8f], text: "\ufffd\ufffd", pending: 0 },
    { bytes: [0xf4, 0x8f], text: "", pending: 2 },
    { bytes: [0xf4, 0x90], text: "\ufffd\ufffd", pending: 0 },
    { bytes: [0xed, 0x9f], text: "", pending: 2 },
    { bytes: [0xed, 0xa0], text: "\ufffd\ufffd", pending: 0 },
    { bytes: [0x80, 0x80, 0x80], text: "\ufffd\ufffd\ufffd", pending: 0 },
    { bytes: [0xf0, 0x61], text: "\ufffda", pending: 0 },
  ])("$bytes gives $text and keeps $pending", ({ bytes, text, pending }) => {
    const stream = new Utf8Stream();
    expect(stream.push(Uint8Array.from(bytes))).toBe(text);
    expect([...stream.pending]).toEqual(pending === 0 ? [] : bytes.slice(-pending));
  });

  test("flush gives one U+FFFD, once", () => {
    const stream = new Utf8Stream(Uint8Array.of(0xf0, 0x9f));
    expect(stream.flush()).toBe("\ufffd");
    expect(stream.flush()).toBe("");
    expect(stream.pending.length).toBe(0);
  });

  test("the caller's bytes may change afterwards", () => {
    const bytes = Uint8Array.of(0xe2, 0x82);
    const stream = new Utf8Stream();
    stream.push(bytes);
    bytes.fill(0);
    stream.pending.fill(0);
    expect(stream.push(Uint8Array.of(0xac))).toBe("€");
  });

  test.each([
    [[0x61]],
    [[0x80]],
    [[0xe2, 0x82, 0xac]],
    [[0xe0, 0x80]],
    [[0x61, 0xc3]],
  ])("%j is not restored", (pending) => {
    expect(() => new Utf8Stream(Uint8Array.from(pending))).toThrow(RangeError);
  });
});
