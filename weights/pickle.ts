/**
 * Pickles of tensors (Python's pickletools, protocol 2 as torch.save writes it), read without executing anything: what an opcode would
 * import or call is looked up in a short list, and everything else is refused by name.
 */
import { CheckpointError } from "./errors.ts";
import { call, GLOBALS, Global, OrderedDict, storageOf } from "./pickle-globals.ts";

const MARK = Symbol("mark");
/** Names of opcodes that are refused, for the message; others are shown as bytes. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [0x69, "INST"],
  [0x6f, "OBJ"],
  [0x81, "NEWOBJ"],
  [0x92, "NEWOBJ_EX"],
  [0x93, "STACK_GLOBAL"],
  [0x82, "EXT1"],
  [0x83, "EXT2"],
  [0x84, "EXT4"],
  [0x50, "PERSID"],
  [0x95, "FRAME"],
  [0x94, "MEMOIZE"],
  [0x53, "STRING"],
  [0x49, "INT"],
]);

/**
 * What the pickle holds: maps, arrays, strings, numbers, booleans, null, PickledTensor.
 * @throws CheckpointError naming an opcode or a global that is not needed for tensors, or where the pickle is damaged
 */
export function readPickle(bytes: Uint8Array, description: string): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: unknown[] = [];
  const memo = new Map<number, unknown>();
  let at = 0;
  const fail = (what: string): CheckpointError =>
    new CheckpointError(`${description}: ${what} at byte ${at}; save the weights as safetensors instead`);
  const take = (count: number): number => {
    if (count > bytes.length - at) throw fail("the pickle is cut off");
    at += count;
    return at - count;
  };
  const pop = (): unknown => {
    if (stack.length === 0 || stack.at(-1) === MARK) throw fail("the pickle takes a value that is not there");
    return stack.pop();
  };
  const toMark = (): unknown[] => {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) throw fail("the pickle lacks a mark");
    const items = stack.splice(mark);
    return items.slice(1);
  };
  const text = (count: number): string => {
    const start = take(count);
    return new TextDecoder().decode(bytes.subarray(start, start + count));
  };
  const line = (): string => {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0 || end - at > 256) throw fail("a name does not end");
    const value = text(end - at);
    at++;
    return value;
  };
  const setItems = (pairs: readonly unknown[]): void => {
    const target = stack.at(-1);
    if (!(target instanceof Map) || pairs.length % 2 !== 0)
      throw fail("items are set on something that is no dictionary");
    for (let i = 0; i < pairs.length; i += 2) target.set(pairs[i], pairs[i + 1]);
  };
  const append = (items: readonly unknown[]): void => {
    const target = stack.at(-1);
    if (!Array.isArray(target)) throw fail("values are appended to something that is no list");
    for (const item of items) target.push(item);
  };
  const recall = (index: number): void => {
    if (!memo.has(index)) throw fail(`the pickle recalls ${index}, which it did not remember`);
    stack.push(memo.get(index));
  };
  const remember = (index: number): void => {
    const value = pop();
    memo.set(index, value);
    stack.push(value);
  };
  for (;;) {
    const opcode = bytes[take(1)] as number;
    switch (opcode) {
      case 0x80: {
        // PROTO
        const version = bytes[take(1)] as number;
        if (version !== 2) throw fail(`pickle protocol ${version}, only 2 is read`);
        break;
      }
      case 0x2e: {
        // STOP
        const value = pop();
        if (stack.length > 0) throw fail("the pickle leaves values behind");
        return value;
      }
      case 0x28:
        stack.push(MARK);
        break;
      case 0x7d:
        stack.push(new Map());
        break; // EMPTY_DICT
      case 0x5d:
        stack.push([]);
        break; // EMPTY_LIST
      case 0x29:
        stack.push([]);
        break; // EMPTY_TUPLE
      case 0x74:
        stack.push(toMark());
        break; // TUPLE
      case 0x85:
        stack.push([pop()]);
        break; // TUPLE1
      case 0x86:
        stack.push([pop(), pop()].reverse());
        break; // TUPLE2
      case 0x87:
        stack.push([pop(), pop(), pop()].reverse());
        break; // TUPLE3
      case 0x4e:
        stack.push(null);
        break; // NONE
      case 0x88:
        stack.push(true);
        break; // NEWTRUE
      case 0x89:
        stack.push(false);
        break; // NEWFALSE
      case 0x4b:
        stack.push(bytes[take(1)]);
        break; // BININT1
      case 0x4d:
        stack.push(view.getUint16(take(2), true));
        break; // BININT2
      case 0x4a:
        stack.push(view.getInt32(take(4), true));
        break; // BININT
      case 0x47:
        stack.push(view.getFloat64(take(8)));
        break; // BINFLOAT, big-endian
      case 0x8a: {
        // LONG1
        const count = bytes[take(1)] as number;
        if (count > 8) throw fail(`an integer of ${count} bytes`);
        const start = take(count);
        let value = 0n;
        for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[start + i] as number);
        stack.push(Number(BigInt.asIntN(8 * count, value)));
        break;
      }
      case 0x58:
        stack.push(text(view.getUint32(take(4), true)));
        break; // BINUNICODE
      case 0x71:
        remember(bytes[take(1)] as number);
        break; // BINPUT
      case 0x72:
        remember(view.getUint32(take(4), true));
        break; // LONG_BINPUT
      case 0x68:
        recall(bytes[take(1)] as number);
        break; // BINGET
      case 0x6a:
        recall(view.getUint32(take(4), true));
        break; // LONG_BINGET
      case 0x73:
        setItems([pop(), pop()].reverse());
        break; // SETITEM
      case 0x75:
        setItems(toMark());
        break; // SETITEMS
      case 0x61:
        append([pop()]);
        break; // APPEND
      case 0x65:
        append(toMark());
        break; // APPENDS
      case 0x63: {
        // GLOBAL
        const name = `${line()}.${line()}`;
        if (!GLOBALS.has(name))
          throw fail(`it names ${name}, which no tensor needs, and nothing of a checkpoint is executed here`);
        stack.push(new Global(name));
        break;
      }
      case 0x51:
        stack.push(storageOf(pop(), fail));
        break; // BINPERSID
      case 0x52: {
        // REDUCE
        const [args, callee] = [pop(), pop()];
        stack.push(call(callee, args, fail));
        break;
      }
      case 0x62: {
        // BUILD: attributes of an object. A state dictionary has the versions of its modules, which no tensor needs.
        const [attributes, target] = [pop(), stack.at(-1)];
        const known = target instanceof OrderedDict && attributes instanceof Map;
        if (!known || [...attributes.keys()].some((name) => name !== "_metadata"))
          throw fail("opcode BUILD of something other than a state dictionary's _metadata, which no tensor needs,");
        break;
      }
      default:
        throw fail(
          `opcode ${NAMES.get(opcode) ?? `0x${opcode.toString(16).padStart(2, "0")}`}, which no checkpoint of tensors needs,`,
        );
    }
  }
}
