/** Tokens between two states that are kept of a long prompt. */
export const MARK_TOKENS = 2048;

/** A place in a conversation where a state may be kept. */
export interface Boundary {
  /** tokens up to here. */
  readonly tokens: number;
  /** of all of them; the same in every conversation that begins with them and has the same boundaries so far. */
  readonly hash: string;
}

/**
 * The ends of messages, and every 2,048th token, up to the last message's end. Hashes are chained: sha256 of the one before and the
 * tokens since, u32 little-endian.
 */
export async function boundaryHashes(tokens: readonly number[], ends: readonly number[]): Promise<Boundary[]> {
  const last = ends.at(-1) ?? 0;
  const marks = Array.from({ length: Math.floor(last / MARK_TOKENS) }, (_, i) => (i + 1) * MARK_TOKENS);
  const places = [...new Set([...ends, ...marks])].sort((a, b) => a - b);
  const boundaries: Boundary[] = [];
  let digest = new Uint8Array(32);
  let start = 0;
  for (const end of places) {
    const bytes = new Uint8Array(32 + 4 * (end - start));
    bytes.set(digest);
    bytes.set(tokenBytes(tokens.slice(start, end)), 32);
    digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    boundaries.push({ tokens: end, hash: hex(digest) });
    start = end;
  }
  return boundaries;
}

/** u32 little-endian. */
export function tokenBytes(tokens: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * tokens.length);
  const view = new DataView(bytes.buffer);
  for (const [i, token] of tokens.entries()) view.setUint32(4 * i, token, true);
  return bytes;
}

/** Of a text's tokens, which has no boundaries: sha256 of all of them. */
export function tokensHash(tokens: readonly number[]): Promise<string> {
  return bytesHash(tokenBytes(tokens));
}

export async function bytesHash(bytes: Uint8Array): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
