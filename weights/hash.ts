import { PackageError } from "./errors.ts";

/** sha256 in lower-case hex. @throws PackageError in a browser page that is not in a secure context */
export async function sha256(bytes: Uint8Array): Promise<string> {
  if (crypto.subtle === undefined) {
    throw new PackageError(
      "this page cannot verify weights, for browsers offer sha256 only over https or on localhost",
    );
  }
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)));
}

/** sha256 of the UTF-8 bytes of a text. */
export function sha256Text(text: string): Promise<string> {
  return sha256(new TextEncoder().encode(text));
}

function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
