/** What texts of each format are, said in another way than the grammars say it. */
export const FORMAT_CHECKS: Readonly<Record<string, (text: string) => boolean>> = {
  date: isDate,
  time: isTime,
  "date-time": (text) => text[10] === "T" && isDate(text.slice(0, 10)) && isTime(text.slice(11)),
  // RFC 3339, appendix A: weeks alone, or days, or a time of which no unit in the midst is missing.
  duration: (text) =>
    /^P(?=[\dT])(\d+W|(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?)$/.test(text) &&
    !/H\d+S/.test(text) &&
    !text.endsWith("T"),
  email: (text) => /^[^@\s]+@[^@\s]+\.[a-z]{2,}$/.test(text) && new URL(`mailto:${text}`).pathname === text,
  hostname: (text) =>
    text.length <= 253 && text.split(".").every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label)),
  ipv4: (text) => URL.canParse(`http://${text}`) && new URL(`http://${text}`).hostname === text && !/[^\d.]/.test(text),
  ipv6: (text) => URL.canParse(`http://[${text}]`) && text.split(":").length === 8,
  uri: (text) => /^https?:\/\//.test(text) && isUri(text),
  uuid: (text) => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(text),
};

function isDate(text: string): boolean {
  const parsed = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(parsed) && new Date(parsed).toISOString().slice(0, 10) === text;
}

function isTime(text: string): boolean {
  // Date takes 24:00 for the next day's beginning.
  return /^(?!24).*(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(`2026-11-24T${text}`));
}

function isUri(text: string): boolean {
  // Nothing in it had to be escaped.
  return URL.canParse(text) && encodeURI(text) === text;
}
