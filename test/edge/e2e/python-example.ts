/** What the READMEs' example in Python says, of the few forms of Python that it is made of. */
export interface PythonExample {
  /** keyword arguments of the client. */
  readonly client: Readonly<Record<string, unknown>>;
  /** such as ["chat", "completions", "create"]. */
  readonly method: readonly string[];
  /** keyword arguments of the call. */
  readonly call: Readonly<Record<string, unknown>>;
  /** what is printed of each chunk, such as ["choices", 0, "delta", "content"]. */
  readonly printed: readonly (string | number)[];
}

const FORM = new RegExp(
  [
    String.raw`^from openai import OpenAI\n\nclient = OpenAI\((?<client>[^\n]*)\)`,
    String.raw`(?<stream>\w+) = client(?<method>(?:\.\w+)+)\(\n(?<call>(?: {4}[^\n]*\n)+)\)`,
    String.raw`for (?<item>\w+) in \k<stream>:`,
    String.raw`    print\(\k<item>(?<path>(?:\.\w+|\[\d+\])+) or "", end="", flush=True\)\n$`,
  ].join("\n"),
);

/** @throws Error where the code has another form, or its arguments are no literals */
export function readPythonExample(code: string): PythonExample {
  const parts = FORM.exec(code)?.groups;
  if (parts === undefined) throw new Error(`the example in Python has another form:\n${code}`);
  return {
    client: keywords(parts.client!),
    method: parts.method!.split(".").slice(1),
    call: keywords(parts.call!),
    printed: [...parts.path!.matchAll(/\.(\w+)|\[(\d+)\]/g)].map(([, name, index]) => name ?? Number(index)),
  };
}

/** `a="x", b=[{"c": True}],` as the object that JSON makes of it. */
function keywords(text: string): Record<string, unknown> {
  const constants: Record<string, string> = { True: "true", False: "false", None: "null" };
  const json = text
    .trim()
    .replace(/,$/, "")
    .replace(/("(?:[^"\\]|\\.)*")|\b([A-Za-z_]\w*)(=)?/g, (_, quoted?: string, word?: string, equals?: string) =>
      quoted !== undefined ? quoted : equals !== undefined ? `${JSON.stringify(word)}:` : (constants[word!] ?? word!),
    );
  return JSON.parse(`{${json}}`);
}
