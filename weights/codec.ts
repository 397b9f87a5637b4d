/** manifest.msgpack to a checked manifest and back. */
import { Packr } from "msgpackr";
import { PackageError } from "./errors.ts";
import { familyId, packageId } from "./ids.ts";
import { MANIFEST_BYTES, MANIFEST_FILE, type Manifest } from "./manifest.ts";
import { validateManifest } from "./validate.ts";

// Plain maps: msgpackr's records would have it compile readers with new Function, which workerd forbids. No typed arrays inside.
const codec = new Packr({ useRecords: false });

/** The bytes of manifest.msgpack. @throws PackageError when the manifest is not valid */
export async function encodeManifest(manifest: Manifest): Promise<Uint8Array> {
  const checked = await checkManifest(manifest);
  // pack() returns a view of a pool that it goes on using.
  const bytes = new Uint8Array(codec.pack(checked));
  if (bytes.byteLength > MANIFEST_BYTES) {
    throw new PackageError(
      `manifest of ${checked.id}: takes ${bytes.byteLength} bytes, at most ${MANIFEST_BYTES} are read; it has too many tensors`,
    );
  }
  return bytes;
}

/**
 * Reads manifest.msgpack and checks every field of it, the ids included.
 * @param description of where it came from, for messages
 * @throws PackageError
 */
export async function decodeManifest(bytes: Uint8Array, description = MANIFEST_FILE): Promise<Manifest> {
  let value: unknown;
  try {
    value = codec.unpack(bytes);
  } catch (cause) {
    throw new PackageError(
      `${description}: ${bytes.byteLength} bytes are not MessagePack (${(cause as Error).message}): the file is truncated or not a manifest; fetch or convert the package again`,
      { cause },
    );
  }
  return await checkManifest(value, description);
}

async function checkManifest(value: unknown, description = "manifest"): Promise<Manifest> {
  const manifest = validateManifest(value, description);
  for (const [field, seen, computed] of [
    ["id", manifest.id, await packageId(manifest)],
    ["family", manifest.family, await familyId(manifest)],
  ]) {
    if (seen !== computed) {
      throw new PackageError(
        `${description}: ${field} is ${seen}, its contents make ${computed}: it was altered; fetch or convert the package again`,
      );
    }
  }
  return manifest;
}
