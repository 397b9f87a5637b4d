/** PyTorch's .pth, .pt and .bin files: a zip of a pickle and of the storages that it names. */
import { type ByteSource, type CheckpointTensors, missing } from "./checkpoint.ts";
import { decodeFloats, type FloatType, TYPE_BYTES } from "./dtype.ts";
import { CheckpointError } from "./errors.ts";
import { readPickle } from "./pickle.ts";
import type { PickledTensor } from "./pickle-globals.ts";
import { readZip } from "./zip-index.ts";

const MOST_PICKLE = 64 * 2 ** 20;
/** Where training scripts keep the weights beside other things, the better ones first. */
const PARTS = ["model_ema", "state_dict_ema", "model", "model_state_dict", "state_dict"];
const TYPES: ReadonlyMap<string, FloatType> = new Map([
  ["torch.FloatStorage", "F32"],
  ["torch.DoubleStorage", "F64"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
]);

/**
 * Opens a state dictionary, or a dictionary that holds one under a name of PARTS. Nothing of the file is executed.
 * @throws CheckpointError when it is damaged, or holds anything but tensors, numbers and texts
 */
export async function openPth(source: ByteSource, description: string): Promise<CheckpointTensors> {
  const zip = await readZip(source, description);
  const pickle = [...zip.keys()].find((name) => name.endsWith("/data.pkl"));
  if (pickle === undefined) throw new CheckpointError(`${description}: a zip without data.pkl, not from torch.save`);
  const root = pickle.slice(0, -"data.pkl".length);
  const { offset, bytes } = zip.get(pickle)!;
  if (bytes > MOST_PICKLE)
    throw new CheckpointError(`${description}: a pickle of ${bytes} bytes, at most ${MOST_PICKLE} are read`);
  const order = zip.get(`${root}byteorder`);
  if (
    order !== undefined &&
    new TextDecoder().decode(await source.read(order.offset, Math.min(order.bytes, 16))) !== "little"
  )
    throw new CheckpointError(`${description}: it is not little-endian; save it on a usual machine`);
  const tensors = stateOf(readPickle(await source.read(offset, bytes), description), description);
  const at = (name: string): PickledTensor => {
    const found = tensors.get(name);
    if (found === undefined) throw missing(name, tensors.keys(), description);
    return found;
  };
  return {
    names: () => [...tensors.keys()],
    shape: (name) => at(name).shape,
    async read(name) {
      const { storage, offset: first, shape, strides } = at(name);
      const type = TYPES.get(storage.type);
      if (type === undefined)
        throw new CheckpointError(`${description}: tensor ${name} is a ${storage.type}, only floats are read`);
      const count = shape.reduce((product, n) => product * n, 1);
      let expected = 1;
      const dense = shape.map((n) => {
        expected *= n;
        return expected;
      });
      const contiguous = shape.every((n, i) => n === 1 || strides[i] === count / dense[i]!);
      const each = TYPE_BYTES.get(type)!;
      const data = zip.get(`${root}data/${storage.key}`);
      if (data === undefined || data.bytes !== storage.count * each || first + count > storage.count) {
        throw new CheckpointError(
          `${description}: tensor ${name} takes elements ${first}..${first + count} of a storage of ${storage.count}, which has ${data?.bytes ?? "no"} bytes: the file is damaged`,
        );
      }
      if (!contiguous && count > 0)
        throw new CheckpointError(`${description}: tensor ${name} is not contiguous; save it after .contiguous()`);
      return decodeFloats(type, await source.read(data.offset + first * each, count * each));
    },
  };
}

function stateOf(root: unknown, description: string): Map<string, PickledTensor> {
  const part = root instanceof Map ? PARTS.map((key) => root.get(key)).find((v) => v instanceof Map) : undefined;
  const state = part ?? root;
  const tensors = new Map<string, PickledTensor>();
  if (state instanceof Map) {
    for (const [name, value] of state) {
      const isTensor = typeof value === "object" && value !== null && "storage" in value;
      if (typeof name === "string" && isTensor) tensors.set(name, value as PickledTensor);
    }
  }
  if (tensors.size === 0)
    throw new CheckpointError(`${description}: no state dictionary in it, by itself or as ${PARTS.join(", ")}`);
  return tensors;
}
