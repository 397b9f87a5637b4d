const MOST = 80;

/** A value as a message shows it: like JSON, but with the numbers that JSON has no way to write, and cut when long. */
export function show(value: unknown): string {
  if (typeof value === "number" || value === undefined) return String(value);
  const text = write(value);
  return text.length > MOST ? `${text.slice(0, MOST).toWellFormed()}…` : text;
}

function write(value: unknown): string {
  try {
    return JSON.stringify(value, (_, v) => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v));
  } catch (error) {
    // Parsing is not recursive, writing is.
    if (error instanceof RangeError) return Array.isArray(value) ? "a list nested deeply" : "an object nested deeply";
    throw error;
  }
}
