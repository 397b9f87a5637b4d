import { type BackendName, type BrowserModel, loadModel, type PredictionResult } from "../../client/index.ts";
import { byId } from "../dom.ts";
import { features, type Point } from "./features.ts";

export interface InContextModel {
  readonly id: string;
  readonly name: string;
  /** numbers of an x. */
  readonly inputs: number;
  readonly outputs: number;
}

export interface Answer {
  /** of each x asked. */
  readonly predictions: readonly number[];
  /** of each example, before its y was seen. */
  readonly before: readonly number[];
  /** what the model remembers of the examples. */
  readonly stateBytes: number;
  readonly milliseconds: number;
  readonly where: BackendName;
}

interface Listed {
  readonly id: string;
  readonly name: string;
  readonly inputs?: number;
  readonly outputs?: number;
}

/** Those installed that predict a number. */
export async function inContextModels(): Promise<InContextModel[]> {
  const listed = (await (await fetch("/weights/index.json")).json()) as Listed[];
  return listed.flatMap(({ id, name, inputs, outputs }) =>
    inputs !== undefined && outputs === 1 ? [{ id, name, inputs, outputs }] : [],
  );
}

/** Where models compute that the visitor asks. */
export type Where = "wasm" | "webgpu" | "rest";

/** The models that were asked so far, each loaded when it was first asked. */
export class Learners {
  readonly #loaded = new Map<string, { readonly where: Where; readonly model: Promise<BrowserModel> }>();

  /** @throws Error with the client's or the edge's own words; a DisposedError when another place was chosen meanwhile */
  async ask(
    { id, inputs }: InContextModel,
    where: Where,
    examples: readonly Point[],
    xs: readonly number[],
  ): Promise<Answer> {
    const { predictions, before, stateBytes, totalMs, backend } = await this.predict(
      id,
      where,
      examples.map(({ x, y }) => ({ x: features(x, inputs), y })),
      xs.map((x) => features(x, inputs)),
    );
    return {
      ...{ predictions: predictions.map(([y]) => y!), before: before.map(([y]) => y!), stateBytes },
      ...{ milliseconds: totalMs, where: backend },
    };
  }

  /** The client's predict(); throws as `ask` does. */
  async predict(id: string, where: Where, ...question: Parameters<BrowserModel["predict"]>): Promise<PredictionResult> {
    return (await this.#load(id, where)).predict(...question);
  }

  /** Frees the models that compute elsewhere. */
  keepOnly(where: Where): void {
    for (const [key, { where: place, model }] of this.#loaded) {
      if (place === where) continue;
      this.#loaded.delete(key);
      model.then((loaded) => loaded.dispose()).catch(() => {});
    }
  }

  #load(id: string, where: Where): Promise<BrowserModel> {
    const apiKey = byId<HTMLInputElement>("key").value.trim();
    const key = `${id} ${where} ${apiKey}`;
    const loaded = this.#loaded.get(key);
    if (loaded !== undefined) return loaded.model;
    const model = loadModel(`/weights/${id}`, { backend: where, ...(apiKey !== "" && { apiKey }) });
    this.#loaded.set(key, { where, model });
    model.catch(() => this.#loaded.delete(key));
    return model;
  }
}
