import { readFileSync } from "node:fs";
import { CheckpointError } from "../../../weights/errors.ts";
import { readZip } from "../../../weights/zip-index.ts";
import { UsageError } from "../cli.ts";

export interface NumpyArray {
  readonly shape: readonly number[];
  /** row-major. */
  readonly data: Float32Array | Uint8Array;
}

/** The arrays of a numpy.savez file, f32 and u8. @throws UsageError or CheckpointError on a file that is not one */
export async function readNpz(file: string): Promise<Map<string, NumpyArray>> {
  const bytes = readWhole(file);
  const source = { size: bytes.length, read: async (at: number, n: number) => bytes.subarray(at, at + n) };
  const arrays = new Map<string, NumpyArray>();
  for (const [name, entry] of await readZip(source, file, "numpy.savez")) {
    const npy = bytes.slice(entry.offset, entry.offset + entry.bytes);
    arrays.set(name.replace(/\.npy$/, ""), readNpy(npy, `${file}, ${name}`));
  }
  return arrays;
}

/** NumPy's format, versions 1 to 3: magic, version, length of the header, a Python dictionary, the values. */
function readNpy(bytes: Uint8Array, where: string): NumpyArray {
  const view = new DataView(bytes.buffer);
  if (bytes.length < 12 || Buffer.from(bytes.subarray(1, 6)).toString("latin1") !== "NUMPY")
    throw new CheckpointError(`${where} is no NumPy array`);
  const [at, length] = bytes[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  const header = Buffer.from(bytes.subarray(at, at + length)).toString("latin1");
  const type = /'descr': *'([^']*)'/.exec(header)?.[1];
  const shape = /'shape': *\(([\d, ]*)\)/.exec(header)?.[1]?.match(/\d+/g)?.map(Number) ?? [];
  if ((type !== "<f4" && type !== "|u1") || /'fortran_order': *True/.test(header))
    throw new CheckpointError(`${where} is an array of type ${type}: <f4 and |u1 in row-major order are read`);
  const count = shape.reduce((product, n) => product * n, 1);
  const body = bytes.slice(at + length);
  if (body.length !== count * (type === "<f4" ? 4 : 1))
    throw new CheckpointError(`${where} of shape (${shape.join(", ")}) has ${body.length} bytes of values`);
  return { shape, data: type === "<f4" ? new Float32Array(body.buffer) : body };
}

function readWhole(file: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(file)); // a Buffer's slice would be no copy
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${(error as Error).message}`);
  }
}
