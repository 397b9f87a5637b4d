import { type DevServer, startDevServer } from "../lib/dev-server.ts";
import { median } from "../lib/measure.ts";
import type { Row } from "../lib/table.ts";

const MODELS = ["icl-linear-mamba", "icl-linear-mambaformer", "icl-linear-transformer"] as const;
/** What a session holds already; attention of these models has room for 40. */
const COUNTS = [10, 30, 1000] as const;
/** Examples added, and questions asked anew, of which the median is told. */
const TIMES = 10;
const INPUTS = 20;

interface Usage {
  readonly state_bytes: number;
  readonly max_examples: number | null;
}

interface Example {
  readonly x: readonly number[];
  readonly y: number;
}

/** Online regression over HTTP: one more example into a session, beside sending them all again with a question. */
export async function examples(): Promise<Row[]> {
  await using server = await startDevServer();
  const rows: Row[] = [];
  for (const count of COUNTS) {
    const kept = await Promise.all(MODELS.map((model) => session(server, model, count)));
    const added = new Map<string, number[]>();
    const anew = new Map<string, number[]>();
    // In turns, so that a slow moment of the machine is everyone's.
    for (let i = 0; i < TIMES; i++) {
      for (const [m, model] of MODELS.entries()) {
        const known = kept[m]!;
        if (known.id === undefined) continue;
        await timed(added, model, () => predictions(server, { session: known.id, examples: drawn(1, count + i) }));
        const all = { model, examples: drawn(count, 0), query: [drawn(1, count + i)[0]!.x] };
        await timed(anew, model, () => predictions(server, all));
      }
    }
    for (const [m, model] of MODELS.entries()) {
      const { id, usage } = kept[m]!;
      const [one, all] = [median(added.get(model) ?? []), median(anew.get(model) ?? [])];
      const none = `room for ${usage.max_examples}`;
      rows.push({
        model,
        "examples in the session": count,
        "state, bytes": id === undefined ? none : usage.state_bytes,
        "one more, ms": id === undefined ? "" : one.toFixed(1),
        "all anew and a question, ms": id === undefined ? "" : all.toFixed(1),
        "anew over one more": id === undefined ? "" : (all / one).toFixed(1),
      });
    }
  }
  return rows;
}

/** A session that holds so many examples; without an id where the model's attention has no room for them and those to come. */
async function session(server: DevServer, model: string, count: number): Promise<{ id?: string; usage: Usage }> {
  const { id } = (await post(server, "/v1/sessions", { model })) as { id: string };
  const first = await predictions(server, { session: id, examples: drawn(1, 0) });
  if (first.max_examples !== null && first.max_examples < count + TIMES) return { usage: first };
  return { id, usage: await predictions(server, { session: id, examples: drawn(count, 0).slice(1) }) };
}

async function predictions(server: DevServer, body: object): Promise<Usage> {
  return ((await post(server, "/v1/icl/predictions", body)) as { usage: Usage }).usage;
}

async function post(server: DevServer, path: string, body: object): Promise<unknown> {
  const response = await fetch(`${server.url}${path}`, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response.json();
}

async function timed(into: Map<string, number[]>, name: string, run: () => Promise<unknown>): Promise<void> {
  const begin = performance.now();
  await run();
  into.set(name, [...(into.get(name) ?? []), performance.now() - begin]);
}

/** Examples `first` and after of one prompt of linear regression; times do not depend on the numbers. */
function drawn(count: number, first: number): Example[] {
  return Array.from({ length: count }, (_, i) => {
    const x = Array.from({ length: INPUTS }, (_, j) => Math.sin((first + i) * INPUTS + j));
    return { x, y: x[0]! - x[1]! };
  });
}
