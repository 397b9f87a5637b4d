import type { PoolStats } from "../models/model-pool.ts";
import { type RequestRecord, STAGES } from "./request-record.ts";

/** What is known of a request when it is over. */
export interface Outcome {
  /** as it was registered, such as "/v1/sessions/:id": a label must not have a value for every session. */
  readonly route: string;
  readonly method: string;
  readonly status: number;
}

/** The counters of one isolate. */
export interface Metrics {
  add(record: RequestRecord, outcome: Outcome): void;
  /** In Prometheus's text format. @param models as they are at this moment */
  render(models: readonly PoolStats[]): string;
}

type Labels = Readonly<Record<string, string | number>>;

/**
 * Counts what requests did, from when the isolate began. A deployment has many isolates: a scrape reads the one that answers it.
 *
 * @example
 * const metrics = createMetrics();
 * metrics.add(record, { route: "/v1/completions", method: "POST", status: 200 });
 */
export function createMetrics(): Metrics {
  const requests = new Map<string, number>();
  const streams = new Map<string, number>();
  const tokens = new Map<string, number>();
  const seconds = new Map<string, number>();
  let snapshotBytes = 0;
  let images = 0;

  function add(record: RequestRecord, { route, method, status }: Outcome): void {
    increase(requests, labels({ method, route, status }), 1);
    if (record.stream !== undefined) increase(streams, labels({ route, ended: record.stream }), 1);
    for (const [kind, count] of Object.entries(record.tokens)) increase(tokens, labels({ kind }), count);
    for (const stage of STAGES) increase(seconds, labels({ stage }), record.milliseconds[stage] / 1000);
    snapshotBytes += record.snapshotBytes;
    images += record.images;
  }

  function render(models: readonly PoolStats[]): string {
    const each = (value: (model: PoolStats) => number): Map<string, number> =>
      new Map(models.map((model) => [labels({ model: model.id }), value(model)]));
    return [
      family("requests_total", "counter", "Requests that are over, by route, method and status.", requests),
      family(
        "streams_total",
        "counter",
        "Those that were streams, by how they ended: complete, client_gone, error.",
        streams,
      ),
      family("tokens_total", "counter", "Tokens by kind: prompt, generated, reused (of the prompt), computed.", tokens),
      family(
        "wall_seconds_across_io_total",
        "counter",
        "Seconds by stage. A deployed Worker's clock advances only at I/O: no measure of computing.",
        seconds,
      ),
      family("images_total", "counter", "Images classified.", new Map([["", images]])),
      family("snapshot_bytes_stored_total", "counter", "Bytes of states stored.", new Map([["", snapshotBytes]])),
      family(
        "active_sequences",
        "gauge",
        "Requests that use a model or wait for it.",
        each((m) => m.users),
      ),
      family(
        "model_loaded",
        "gauge",
        "1 where all weights are in memory.",
        each((m) => (m.loaded ? 1 : 0)),
      ),
      family(
        "model_bytes",
        "gauge",
        "Bytes of memory that a model is counted with.",
        each((m) => m.bytes),
      ),
    ].join("");
  }

  return { add, render };
}

function increase(counter: Map<string, number>, key: string, by: number): void {
  counter.set(key, (counter.get(key) ?? 0) + by);
}

function family(name: string, type: "counter" | "gauge", help: string, values: ReadonlyMap<string, number>): string {
  const full = `mamba_edge_${name}`;
  const lines = [...values].map(([key, value]) => `${full}${key} ${value}`);
  return `${[`# HELP ${full} ${help} Of this isolate.`, `# TYPE ${full} ${type}`, ...lines].join("\n")}\n`;
}

function labels(values: Labels): string {
  const quoted = (value: string): string =>
    value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
  const pairs = Object.entries(values).map(([name, value]) => `${name}="${quoted(`${value}`)}"`);
  return `{${pairs.join(",")}}`;
}
