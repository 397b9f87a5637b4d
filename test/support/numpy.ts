/** A numpy.savez file of f32 and u8 arrays. The checksums are left out: nothing here reads them. */
export function npz(
  arrays: Readonly<Record<string, { shape: readonly number[]; data: Float32Array | Uint8Array }>>,
): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [key, { shape, data }] of Object.entries(arrays)) {
    const name = Buffer.from(`${key}.npy`);
    const body = Buffer.concat([
      header(shape, data instanceof Float32Array ? "<f4" : "|u1"),
      Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    ]);
    const sizes = Buffer.alloc(26 - 8);
    sizes.writeUInt32LE(body.length, 8);
    sizes.writeUInt32LE(body.length, 12);
    sizes.writeUInt16LE(name.length, 16);
    const common = [Buffer.from([20, 0, 0, 0, 0, 0]), sizes, Buffer.alloc(2)]; // version, flags, method; …; extra
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), ...common, name, body]);
    const end = Buffer.alloc(14);
    end.writeUInt32LE(at, 10);
    directory.push(Buffer.from("PK\x01\x02"), Buffer.from([20, 0]), ...common, end, name);
    parts.push(local);
    at += local.length;
  }
  const central = Buffer.concat(directory);
  const tail = Buffer.alloc(22);
  tail.write("PK\x05\x06", "latin1");
  const count = Object.keys(arrays).length;
  tail.writeUInt16LE(count, 8);
  tail.writeUInt16LE(count, 10);
  tail.writeUInt32LE(central.length, 12);
  tail.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, central, tail]);
}

function header(shape: readonly number[], descr: string): Buffer {
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }\n`;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(text.length);
  return Buffer.concat([Buffer.from("\x93NUMPY\x01\x00", "latin1"), length, Buffer.from(text)]);
}
