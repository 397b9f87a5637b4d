/** Protocol Buffers' encoding (protobuf.dev/programming-guides/encoding), as much of it as ONNX files need. */
export type FieldValue = number | string | Uint8Array;

/** Fields in the order given: a number is a varint, a text or bytes (another message, packed numbers) has its length in front. */
export function message(fields: readonly (readonly [number: number, value: FieldValue])[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [number, value] of fields) {
    if (typeof value === "number") {
      parts.push(varint(8 * number), varint(value));
      continue;
    }
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    parts.push(varint(8 * number + 2), varint(bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

/** @param value a whole number from 0 to 2^53 */
export function varint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`${value} is no varint: it must be whole and ≥ 0`);
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
