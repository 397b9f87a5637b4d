import { type BackendName, type BrowserModel, loadModel, type PredictionResult } from "../../client/index.ts";
import { access, withKey } from "../access.ts";
import { features, type Layout, type Point } from "./features.ts";
import { EdgeSessions } from "./sessions.ts";

export interface InContextModel {
  readonly id: string;
  readonly name: string;
  /** numbers of an x. */
  readonly inputs: number;
  readonly outputs: number;
  /** examples before a question, at most, while it was trained; null where nobody knows. */
  readonly trained: number | null;
  /** examples that it has room for with a question behind them; Infinity without attention. */
  readonly room: number;
}

export interface Answer {
  /** of each x asked. */
  readonly predictions: readonly number[];
  /** of each example, before its y was seen. */
  readonly before: readonly number[];
  /** what the model remembers of the examples. */
  readonly stateBytes: number;
  readonly milliseconds: number;
  readonly where: BackendName | "session";
  /** in a session: examples that were computed now, and that were in its state already. */
  readonly added?: number;
  readonly kept?: number;
}

interface Listed {
  readonly id: string;
  readonly name: string;
  readonly inputs?: number;
  readonly outputs?: number;
  readonly interleave?: false;
  readonly trained_examples?: number | null;
  readonly max_examples?: number | null;
}

/** Those installed that predict a number from examples. */
export async function inContextModels(): Promise<InContextModel[]> {
  const listed = (await (await fetch("/weights/index.json")).json()) as Listed[];
  return listed.flatMap(({ id, name, inputs, outputs, interleave, trained_examples: trained = null, max_examples }) =>
    inputs !== undefined && outputs === 1 && interleave !== false
      ? [{ id, name, inputs, outputs, trained, room: max_examples ?? Number.POSITIVE_INFINITY }]
      : [],
  );
}

/** Where models compute that the visitor asks. */
export type Where = "wasm" | "webgpu" | "rest" | "session";

interface Loaded {
  readonly where: BackendName;
  readonly model: Promise<BrowserModel>;
}

/** The models that were asked so far, each loaded when it was first asked. */
export class Learners {
  readonly #sessions = new EdgeSessions();
  readonly #loaded = new Map<string, Loaded>();

  /** @throws Error with the client's or the edge's own words; a DisposedError when another place was chosen meanwhile */
  async ask(
    { id, inputs }: InContextModel,
    where: Where,
    examples: readonly Point[],
    xs: readonly number[],
    layout: Layout,
  ): Promise<Answer> {
    const told = examples.map(({ x, y, noise }) => ({ x: features(x, inputs, layout, noise), y }));
    const query = xs.map((x) => features(x, inputs, layout));
    if (where === "session") return { ...(await this.#sessions.ask(id, told, query)), where };
    const { predictions, before, stateBytes, totalMs, backend } = await this.predict(id, where, told, query);
    return {
      ...{ predictions: predictions.map(([y]) => y!), before: before.map(([y]) => y!), stateBytes },
      ...{ milliseconds: totalMs, where: backend },
    };
  }

  /** The client's predict(); throws as `ask` does. */
  async predict(
    id: string,
    where: BackendName,
    ...question: Parameters<BrowserModel["predict"]>
  ): Promise<PredictionResult> {
    return (await this.#load(id, where)).predict(...question);
  }

  /** Frees the models that compute elsewhere, and the edge's sessions. */
  keepOnly(where: Where): void {
    if (where !== "session") this.#sessions.end();
    for (const [key, { where: place, model }] of this.#loaded) {
      if (place === where) continue;
      this.#loaded.delete(key);
      free(model);
    }
  }

  /** Before the page goes: deletes the edge's sessions. */
  leave(): void {
    this.#sessions.end();
  }

  #load(id: string, where: BackendName): Promise<BrowserModel> {
    const place = `${id} ${where}`;
    const before = this.#loaded.get(place);
    if (before !== undefined) return withKey(before.model);
    const model = loadModel(`/weights/${id}`, { backend: where, ...access() });
    this.#loaded.set(place, { where, model });
    model.catch(() => {
      if (this.#loaded.get(place)?.model === model) this.#loaded.delete(place);
    });
    return withKey(model);
  }
}

function free(model: Promise<BrowserModel>): void {
  model.then((loaded) => loaded.dispose()).catch(() => {});
}
