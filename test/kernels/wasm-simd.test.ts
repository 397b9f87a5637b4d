import { execFileSync } from "node:child_process";
import { describe, expect, test, vi } from "vitest";
import { createWasmBackend, hasRelaxedSimd } from "../../kernels/wasm/index.ts";
import { instantiate, type Kernels } from "../../kernels/wasm/kernels.ts";
import { loadMaddModule } from "../../kernels/wasm/node.ts";
import { computesExactly } from "../../kernels/wasm/simd.ts";
import { compileModel, distance, everyDots, lastLogits, modules, randomModel, SMALL } from "./wasm-fixtures.ts";

describe("choosing SIMD", () => {
  test("auto takes relaxed SIMD, and dots that suit the host", async () => {
    const backend = await createWasmBackend(modules);
    expect(backend.simd).toBe("relaxed");
    expect(["signed", "unsigned", "fused", "paired"]).toContain(backend.dots);
  });

  test("without the relaxed module auto takes the baseline, and relaxed is an error", async () => {
    const only = { ...modules, relaxed: undefined };
    expect((await createWasmBackend(only)).simd).toBe("baseline");
    await expect(createWasmBackend(only, { simd: "relaxed" })).rejects.toThrow("relaxed SIMD is missing");
    await expect(createWasmBackend(only, { dots: "fused" })).rejects.toThrow("relaxed SIMD is missing");
  });

  test.each([
    [{ simd: "baseline" }, ["baseline", "widened"]],
    [{ dots: "widened" }, ["baseline", "widened"]],
    [{ simd: "relaxed", dots: "paired" }, ["relaxed", "paired"]],
    [{ dots: "fused" }, ["relaxed", "fused"]],
  ] as const)("%o gives %o", async (options, expected) => {
    const { simd, dots } = await createWasmBackend(modules, options);
    expect([simd, dots]).toEqual(expected);
  });

  test("contradictions are errors", async () => {
    await expect(createWasmBackend(modules, { simd: "baseline", dots: "fused" })).rejects.toThrow();
    await expect(createWasmBackend(modules, { simd: "relaxed", dots: "widened" })).rejects.toThrow();
  });

  test("this host validates the relaxed probe", () => {
    expect(hasRelaxedSimd()).toBe(true);
  });
});

describe.each(everyDots)("the self-test of %s dots", async (dots) => {
  const memory = new WebAssembly.Memory({ initial: 3 });
  const module = (dots === "widened" ? modules.baseline : modules.relaxed) as WebAssembly.Module;
  const kernels = await instantiate(module, memory, dots);

  test("passes here", () => {
    expect(computesExactly(kernels, memory)).toBe(true);
  });

  // what a host could get wrong: one product's sign, saturation, a lane, or only one shape of register tile.
  test.each([
    ["off by one", (y: number) => y + 1],
    ["saturating", (y: number) => Math.min(y, 32_767)],
    ["losing a large negative", (y: number) => Math.max(y, -500_000)],
  ])("rejects a dot that is %s", (_, wrong) => {
    expect(computesExactly({ ...kernels, project_q8: spoil(kernels, memory, (y) => wrong(y)) }, memory)).toBe(false);
  });

  test.each([1, 2, 3, 4, 7])("rejects a dot that is wrong only with %i tokens", (count) => {
    const project = spoil(kernels, memory, (y, i, tokens) => (tokens === count && i === 7 ? -y : y));
    expect(computesExactly({ ...kernels, project_q8: project }, memory)).toBe(false);
  });
});

test("a host whose relaxed dots are wrong gets the baseline", async () => {
  const instantiateReal = WebAssembly.instantiate;
  const spy = vi.spyOn(WebAssembly, "instantiate") as unknown as {
    mockImplementation(f: unknown): void;
    mockRestore(): void;
  };
  spy.mockImplementation(async (module: WebAssembly.Module, imports: WebAssembly.Imports) => {
    const instance = await instantiateReal(module, imports);
    if (module !== modules.relaxed) return instance;
    const wrong = Object.fromEntries(
      Object.entries(instance.exports).map(([name, value]) => [name, /^project_q8_/.test(name) ? () => {} : value]),
    );
    return { exports: wrong };
  });
  try {
    expect(await createWasmBackend(modules)).toMatchObject({ simd: "baseline", dots: "widened" });
    await expect(createWasmBackend(modules, { simd: "relaxed" })).rejects.toThrow("relaxed SIMD is missing");
  } finally {
    spy.mockRestore();
  }
});

/** project_q8 with its results changed. */
function spoil(
  kernels: Kernels,
  memory: WebAssembly.Memory,
  change: (y: number, index: number, tokens: number) => number,
): Kernels["project_q8"] {
  return (weight, rows, cols, input, tokens, bias, y, stride, accumulate) => {
    kernels.project_q8(weight, rows, cols, input, tokens, bias, y, stride, accumulate);
    const out = new Float32Array(memory.buffer, y, tokens * stride);
    out.forEach((v, i) => {
      out[i] = change(v, i, tokens);
    });
  };
}

test("a fresh build does nothing, and stdout stays empty", () => {
  expect(execFileSync(process.execPath, ["kernels/wasm/build.ts"], { encoding: "utf8" })).toBe("");
});

test("a variant that does not exist is an error", () => {
  expect(() => execFileSync(process.execPath, ["kernels/wasm/build.ts", "quick"], { stdio: "pipe" })).toThrow(
    'no variant "quick": there are relaxed, baseline, madd',
  );
});

test("the module that is only measured, with relaxed_madd, computes the same to rounding", async () => {
  execFileSync(process.execPath, ["kernels/wasm/build.ts", "madd"], { stdio: "ignore" });
  const model = randomModel(SMALL, "f32");
  const [served, madd] = await Promise.all(
    [modules, { ...modules, relaxed: await loadMaddModule() }].map(async (pair) => {
      const executable = await compileModel(await createWasmBackend(pair, { simd: "relaxed" }), model);
      return lastLogits(executable, executable.createState(), [1, 2, 3, 4]);
    }),
  );
  expect(distance(madd!, served!)).toBeLessThan(1e-5);
});
