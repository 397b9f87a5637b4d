import { type Executable, KernelError } from "../backend.ts";
import { WasmExecutable } from "./executable.ts";

export interface MemoryReads {
  /** bytes that each call reads. */
  readonly bytes: number;
  oneStream(): void;
  fourStreams(): void;
}

/** Plain v128 reads of an executable's weights: the ceiling that decoding is measured against. */
export function measureReadBandwidth(executable: Executable): MemoryReads {
  if (!(executable instanceof WasmExecutable)) throw new KernelError("only a wasm executable has this memory to read");
  const { kernels, layout } = executable;
  const bytes = Math.floor((layout.weightsEnd - layout.weightsStart) / 256) * 256;
  return {
    bytes,
    oneStream: () => void kernels.read_one_stream(layout.weightsStart, bytes),
    fourStreams: () => void kernels.read_four_streams(layout.weightsStart, bytes),
  };
}
