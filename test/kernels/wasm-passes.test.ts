import { describe, expect, test } from "vitest";
import type { Executable } from "../../kernels/backend.ts";
import { measureReadBandwidth } from "../../kernels/wasm/bandwidth.ts";
import type { WasmExecutable } from "../../kernels/wasm/executable.ts";
import {
  backendWith,
  compileModel,
  differences,
  lastLogits,
  randomModel,
  randomTokens,
  SMALL,
} from "./wasm-fixtures.ts";

const backend = await backendWith("widened");

async function model(): Promise<Executable> {
  return compileModel(backend, randomModel(SMALL, "q8"), { maxTokens: 16, maxSequences: 3 });
}

describe("loading", () => {
  // prime lengths cut f32s, rows and tiles.
  test.each([1, 3, 7, 31, 1021, 1 << 20])("pieces of %i bytes give the same model", async (size) => {
    for (const encoding of ["f32", "q8"] as const) {
      const random = randomModel({ ...SMALL, layers: 1 }, encoding);
      const whole = await compileModel(backend, random);
      const pieces = await backend.compile(random.blocks, random.tensors);
      for (const [name, bytes] of random.bytes) {
        const staging = new Uint8Array(size + 1); // reused, and not aligned
        for (let at = 0; at < bytes.length; at += size) {
          const piece = staging.subarray(1, 1 + Math.min(size, bytes.length - at));
          piece.set(bytes.subarray(at, at + size));
          pieces.load(name, at, piece);
          piece.fill(255);
        }
      }
      const tokens = [1, 2, 3];
      const logits = await lastLogits(pieces, pieces.createState(), tokens);
      expect(differences(logits, await lastLogits(whole, whole.createState(), tokens))).toBe(0);
    }
  });

  test("blocks run as their tensors arrive", async () => {
    const random = randomModel(SMALL, "q8");
    const executable = await backend.compile(random.blocks, random.tensors);
    const state = executable.createState();
    const tokens = [5, 6, 7];
    expect(executable.blocksLoaded).toBe(0);
    const pass = executable.begin([{ state, tokens, logits: "last" }]);
    expect(() => pass.advance()).toThrow("block 0 is not loaded");
    for (const [name, bytes] of random.bytes) {
      executable.load(name, 0, bytes.subarray(0, 1));
      executable.load(name, 1, bytes.subarray(1));
      pass.advance(executable.blocksLoaded);
      expect(pass.block).toBe(executable.blocksLoaded);
    }
    expect(executable.blocksLoaded).toBe(random.blocks.length);
    const [output] = await pass.read();
    const whole = await compileModel(backend, random);
    expect(differences(output!.logits, await lastLogits(whole, whole.createState(), tokens))).toBe(0);
  });

  test("pieces must be the next ones of a known tensor, and fit", async () => {
    const random = randomModel(SMALL, "q8");
    const executable = await backend.compile(random.blocks, random.tensors);
    const bytes = random.bytes.get("0.in")!;
    expect(() => executable.load("nothing", 0, bytes)).toThrow('no block has a tensor "nothing"');
    expect(() => executable.load("0.in", 4, bytes)).toThrow("byte 0 comes next");
    executable.load("0.in", 0, bytes.subarray(0, 100));
    expect(() => executable.load("0.in", 0, bytes)).toThrow("byte 100 comes next");
    expect(() => executable.load("0.in", 100, bytes)).toThrow(`has ${bytes.length} bytes`);
  });

  test("A must be negative and finite", async () => {
    const random = randomModel(SMALL, "f32");
    for (const bad of [0.5, Number.NaN, Number.NEGATIVE_INFINITY]) {
      const executable = await backend.compile(random.blocks, random.tensors);
      const values = new Float32Array(random.bytes.get("0.A")!.slice().buffer);
      values[17] = bad;
      expect(() => executable.load("0.A", 0, new Uint8Array(values.buffer))).toThrow("element 17");
    }
  });
});

describe("compiling", () => {
  const random = randomModel(SMALL, "q8");

  test("plan is what is allocated", async () => {
    for (const options of [{}, { maxTokens: 5, maxSequences: 2 }, { maxTokens: 200 }]) {
      const plan = backend.plan(random.blocks, random.tensors, options);
      const executable = (await backend.compile(random.blocks, random.tensors, options)) as WasmExecutable;
      expect(executable.memory).toEqual(plan);
      const allocated = (): number => executable.heap.memory.buffer.byteLength;
      expect(allocated()).toBe(plan.weights + plan.activations);
      for (let i = 1; i <= 20; i++) {
        executable.createState();
        const states = Math.ceil((i * plan.statePerSequence) / 65_536) * 65_536;
        expect(allocated()).toBe(plan.weights + plan.activations + states);
      }
    }
  });

  test("weights take little more than their bytes, and a tied tensor is stored once", () => {
    const tied = backend.plan(random.blocks, random.tensors).weights;
    const untied = randomModel({ ...SMALL, tied: false }, "q8");
    const total = [...random.tensors.values()].reduce((sum, t) => sum + t.bytes, 0);
    expect(tied).toBeGreaterThanOrEqual(total);
    expect(tied).toBeLessThan(1.2 * total);
    const head = untied.tensors.get("head")!.bytes;
    expect(backend.plan(untied.blocks, untied.tensors).weights - tied).toBeGreaterThanOrEqual(head);
  });

  test.each([
    ["a missing tensor", { "1.x": undefined }, 'needs tensor "1.x", which is missing'],
    ["another shape", { "0.D": { shape: [71], encoding: "f32", bytes: 284 } }, "must have shape (72), has (71)"],
    [
      "a quantized vector",
      { norm: { shape: [40], encoding: "q8", bytes: 40 } },
      '"norm" of block 3 (norm) must be f32',
    ],
    ["a wrong size", { "0.D": { shape: [72], encoding: "f32", bytes: 99 } }, "takes 288 bytes, its spec says 99"],
  ] as const)("%s is an error", async (_, change, message) => {
    const tensors = new Map(random.tensors);
    for (const [name, spec] of Object.entries(change)) {
      if (spec === undefined) tensors.delete(name);
      else tensors.set(name, spec);
    }
    expect(() => backend.plan(random.blocks, tensors)).toThrow(message);
    await expect(backend.compile(random.blocks, tensors)).rejects.toThrow(message);
  });

  test.each([
    ["no block", [], "at least an embedding"],
    ["no embedding first", random.blocks.slice(1), "block 0 is mamba"],
    ["two embeddings", [random.blocks[0]!, ...random.blocks], "block 1 is embedding"],
    ["a head in the middle", [random.blocks[0]!, random.blocks.at(-1)!, random.blocks[3]!], "block 1 is a head"],
    ["another width", [random.blocks[0]!, { ...random.blocks[3]!, dim: 41 }], "block 1 (norm) has dim 41"],
  ])("%s is an error", (_, blocks, message) => {
    expect(() => backend.plan(blocks, random.tensors)).toThrow(message);
  });

  test("options are checked", () => {
    expect(() => backend.plan(random.blocks, random.tensors, { maxTokens: 0 })).toThrow("maxTokens");
    expect(() => backend.plan(random.blocks, random.tensors, { maxSequences: 1.5 })).toThrow("maxSequences");
  });
});

describe("passes", () => {
  test("spans are checked before anything runs", async () => {
    const executable = await model();
    const other = await model();
    const state = executable.createState();
    const tokens = [1, 2, 3];
    const states = [1, 2, 3, 4].map(() => executable.createState());
    const disposed = executable.createState();
    disposed.dispose();
    const cases: [Parameters<Executable["run"]>[0], string | RegExp][] = [
      [[], "at least one span"],
      [[{ state, tokens: [] }], "span 0 has no tokens"],
      [[{ state, tokens: [1, 99] }], "token 99 at position 1 of span 0 is outside the vocabulary 0..98"],
      [[{ state, tokens: [-1] }], "token -1"],
      [[{ state, tokens: [1.5] }], "token 1.5"],
      [[{ state, tokens: Array(17).fill(1) }], "at most 16 tokens, 17 were given"],
      [states.map((s) => ({ state: s, tokens })), "at most 3 sequences, 4 were given"],
      [
        [
          { state, tokens },
          { state, tokens },
        ],
        "share one state",
      ],
      [[{ state, tokens, targets: [1] }], "3 tokens and 1 targets"],
      [[{ state, tokens, targets: [1, 2, 99] }], "token 99"],
      [[{ state: disposed, tokens }], "disposed"],
      [[{ state: other.createState(), tokens }], "another executable"],
    ];
    for (const [spans, message] of cases) expect(() => executable.run(spans)).toThrow(message);
    expect((await state.read()).every((v) => v === 0)).toBe(true);
  });

  test("a model without a head gives no logits", async () => {
    const random = randomModel(SMALL, "f32");
    const body = { ...random, blocks: random.blocks.slice(0, -1) };
    const executable = await backend.compile(body.blocks, body.tensors);
    for (const [name, bytes] of random.bytes) executable.load(name, 0, bytes);
    const state = executable.createState();
    expect(() => executable.run([{ state, tokens: [1], logits: "last" }])).toThrow("no head");
    const [output] = await executable.run([{ state, tokens: [1] }]).read();
    expect(output!.logits).toHaveLength(0);
  });

  test("reading too early, or advancing a pass that another ended, is an error", async () => {
    const executable = await model();
    const span = { state: executable.createState(), tokens: [1, 2], logits: "last" as const };
    const first = executable.begin([span]);
    first.advance(2);
    await expect(first.read()).rejects.toThrow("only 2 of 5 blocks are done");
    const second = executable.run([{ ...span, state: executable.createState() }]);
    expect(() => first.advance()).toThrow("another pass was opened");
    await expect(first.read()).rejects.toThrow("only 2 of 5 blocks are done");
    expect((await second.read())[0]!.logits).toHaveLength(SMALL.vocab);
  });

  test("a pass does not run on into a slot that changed hands", async () => {
    const executable = await model();
    const state = executable.createState();
    const pass = executable.begin([{ state, tokens: [1, 2] }]);
    pass.advance(1);
    state.dispose();
    const next = executable.createState();
    expect(() => pass.advance()).toThrow("disposed");
    expect((await next.read()).every((v) => v === 0)).toBe(true);
  });

  test("after dispose everything refuses", async () => {
    const executable = await model();
    const state = executable.createState();
    const pass = executable.run([{ state, tokens: [1] }]);
    executable.dispose();
    executable.dispose();
    expect(() => executable.createState()).toThrow("disposed");
    expect(() => executable.run([{ state, tokens: [1] }])).toThrow("disposed");
    expect(() => executable.load("norm", 0, new Uint8Array(1))).toThrow("disposed");
    expect(() => state.write(new Float32Array(1))).toThrow("disposed");
    await expect(state.read()).rejects.toThrow("disposed");
    expect(() => pass.advance()).toThrow("disposed");
  });

  test("the longest pass works", async () => {
    const executable = await model();
    const tokens = randomTokens(16, SMALL.vocab);
    const whole = await lastLogits(executable, executable.createState(), tokens);
    const state = executable.createState();
    await lastLogits(executable, state, tokens.slice(0, 9));
    expect(differences(await lastLogits(executable, state, tokens.slice(9)), whole)).toBe(0);
  });
});

test("the memory reads cover the weights", async () => {
  const executable = await model();
  const reads = measureReadBandwidth(executable);
  expect(reads.bytes).toBeGreaterThan(0.9 * executable.memory.weights);
  expect(() => {
    reads.oneStream();
    reads.fourStreams();
  }).not.toThrow();
});
