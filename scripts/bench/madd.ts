import type { Backend, Executable } from "../../kernels/backend.ts";
import { createWasmBackend } from "../../kernels/wasm/index.ts";
import { loadMaddModule, loadWasmModules } from "../../kernels/wasm/node.ts";
import { inTurns } from "../lib/measure.ts";
import { MAMBA_130M, randomMamba } from "../lib/random-model.ts";
import type { Row } from "../lib/table.ts";
import { DECODE, decoding, prefilling } from "./throughput.ts";

const ROUNDS = 9;

/** What the same bits on every host cost: times of the relaxed module over those of one that may fuse multiplications with additions. */
export async function madd(): Promise<Row[]> {
  const modules = await loadWasmModules();
  const served = await createWasmBackend(modules, { simd: "relaxed" });
  const fused = await createWasmBackend({ ...modules, relaxed: await loadMaddModule() }, { simd: "relaxed" });
  const rows: Row[] = [];
  for (const encoding of ["f32", "q8", "q4"] as const) {
    const open = (backend: Backend): Promise<Executable> => randomMamba(backend, MAMBA_130M, encoding);
    const [ours, theirs] = [await open(served), await open(fused)];
    const time = await inTurns(
      {
        decode: decoding(ours, 1),
        fusedDecode: decoding(theirs, 1),
        prefill: prefilling(ours),
        fusedPrefill: prefilling(theirs),
      },
      ROUNDS,
    );
    ours.dispose();
    theirs.dispose();
    rows.push({
      model: "mamba-130m shape",
      weights: encoding,
      "decode ms": ((1000 * time.decode) / DECODE).toFixed(2),
      "with relaxed_madd": ((1000 * time.fusedDecode) / DECODE).toFixed(2),
      "decode, ours / with": (time.decode / time.fusedDecode).toFixed(3),
      "prefill 512, ours / with": (time.prefill / time.fusedPrefill).toFixed(3),
    });
  }
  return rows;
}
