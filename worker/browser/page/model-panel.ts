import { type BackendName, type BrowserModel, type LoadProgress, loadModel } from "../client/index.ts";
import { access, inWords } from "./access.ts";
import { byId, element } from "./dom.ts";
import { bytes } from "./measurements.ts";

interface Listed {
  readonly id: string;
  readonly name: string;
  readonly quantization: string;
  readonly architecture: string;
  /** absent where the list does not tell. */
  readonly tokenizer?: boolean;
  readonly bytes: number;
}

export interface ModelPanel {
  /** the package chosen, or undefined while there are none. */
  readonly chosen: string | undefined;
  /** Loads the chosen package. @param backend in place of the one chosen */
  load(backend?: BackendName): Promise<BrowserModel>;
  /** Says what a loaded model is. */
  show(model: BrowserModel): void;
}

const STAGES: Record<LoadProgress["stage"], string> = {
  download: "Downloading",
  prepare: "Preparing",
  check: "Checking and measuring",
};
const NAMES: Record<BackendName, string> = { webgpu: "on WebGPU", wasm: "on WebAssembly", rest: "at the edge" };

/** The choice of package and backend, and how far its load is. @param onLoad when the visitor asks for it */
export async function modelPanel(onLoad: () => void): Promise<ModelPanel> {
  const select = byId<HTMLSelectElement>("model");
  const backend = byId<HTMLSelectElement>("backend");
  const button = byId<HTMLButtonElement>("load");
  const listed = ((await (await fetch("/weights/index.json")).json()) as Listed[]).filter(
    // Without a tokenizer a model takes numbers of tokens, and no words.
    ({ architecture, tokenizer }) => architecture === "mamba" && tokenizer !== false,
  );
  select.replaceChildren(
    ...listed.map(({ id, name, quantization, bytes: size }) =>
      element("option", { value: id }, `${name}, ${quantization}, ${bytes(size)}`),
    ),
  );
  if (listed.length === 0)
    say("No model here can write: convert one with its tokenizer.json into weights/models, then build again.", true);
  button.disabled = listed.length === 0;
  button.addEventListener("click", onLoad);

  /** What the button would load; where that is loaded already it is no longer what there is to do. */
  const wanted = (): string => `${select.value} ${backend.value}`;
  let loaded: string | undefined;
  const loud = (): void => void button.classList.toggle("primary", wanted() !== loaded);
  for (const choice of [select, backend]) choice.addEventListener("change", loud);

  function say(text: string, failed = false): void {
    const note = byId("model-note");
    note.textContent = text;
    note.classList.toggle("failed", failed);
  }

  return {
    get chosen() {
      return select.value === "" ? undefined : select.value;
    },
    async load(asked) {
      const bar = byId<HTMLProgressElement>("bar");
      byId("progress").hidden = false;
      button.disabled = true;
      say("");
      if (asked !== undefined) backend.value = asked;
      const loading = wanted();
      try {
        const model = await loadModel(`/weights/${select.value}`, {
          backend: backend.value as BackendName | "auto",
          ...access(),
          onProgress({ stage, loaded, total }) {
            bar.value = total === 0 ? 1 : loaded / total;
            const amount = stage === "check" ? "" : ` ${bytes(loaded)} of ${bytes(total)}`;
            byId("bar-label").textContent = STAGES[stage] + amount;
          },
        });
        loaded = loading;
        return model;
      } catch (error) {
        say(inWords(error as Error), true);
        throw error;
      } finally {
        byId("progress").hidden = true;
        button.disabled = false;
        loud();
      }
    },
    show(model) {
      const { info } = model;
      const reason = model.reason.startsWith("asked for")
        ? `, as chosen${model.reason.slice("asked for".length)}`
        : `: ${model.reason}`;
      say(`${info.name} ${NAMES[model.backend]}${reason}.`);
    },
  };
}
