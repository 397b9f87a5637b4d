import type { BackendName, ImageClassification, LoadProgress } from "../../client/index.ts";
import { inWords, onKey } from "../access.ts";
import { byId, element } from "../dom.ts";
import { bytes } from "../measurements.ts";
import { showSamples } from "./samples.ts";
import { scanMaps } from "./scan-maps.ts";
import { imageModel, imageModels, type ListedModel } from "./service.ts";

/** Whose scans are shown: fine enough to see where, coarse enough to see what. */
const STAGE = 2;
/** A best score below this one is no answer, only the likeliest. */
const SURE = 0.5;
/** Pixels of the picture's longer side. */
const SIDE = 360;
const NAMES: Record<BackendName, string> = {
  wasm: "WebAssembly in this browser",
  rest: "the edge (REST)",
  webgpu: "WebGPU in this browser",
};

let opened = false;

/** When the panel is looked at: sets it up the first time. */
export async function openSeePanel(): Promise<void> {
  if (opened) return;
  opened = true;
  const [model] = await imageModels().catch(() => []);
  byId("see-none").hidden = model !== undefined;
  byId("see").hidden = model === undefined;
  if (model === undefined) {
    opened = false;
    return;
  }
  byId("see-model").textContent = model.name;
  showKinds(model.classes ?? []);
  const file = byId<HTMLInputElement>("see-file");
  let last: Blob | undefined;
  const look = (picture: Blob | undefined): void => {
    last = picture ?? last;
    void show(model, last);
  };
  file.addEventListener("change", () => look(file.files?.[0]));
  showSamples(look, fail);
  byId("see-backend").addEventListener("change", () => look(undefined));
  // What was refused for want of this key is asked again.
  onKey(() => {
    if (byId("see-status").classList.contains("failed")) look(undefined);
  });
  const drop = byId("see-drop");
  drop.addEventListener("dragover", (event) => event.preventDefault());
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    look(event.dataTransfer?.files[0]);
  });
}

let latest = 0;

/** It gives each picture one of these names, whatever is on it. */
function showKinds(kinds: readonly string[]): void {
  byId("see-kinds").hidden = kinds.length === 0;
  byId("see-kinds").textContent =
    `It knows ${kinds.length} kinds, and takes every picture for one of them: ${kinds.join(", ")}.`;
}

/** Nothing of an earlier picture stays beside what went wrong with this one. */
function fail(reason: string): void {
  latest++;
  byId("see-result").hidden = true;
  byId("see-status").classList.add("failed");
  byId("see-status").textContent = `This picture cannot be shown: ${reason}`;
}

async function show(model: ListedModel, file: Blob | undefined): Promise<void> {
  if (file === undefined) return;
  const turn = ++latest;
  const say = (text: string): void => {
    if (turn !== latest) return;
    byId("see-status").classList.remove("failed");
    byId("see-status").textContent = text;
  };
  say("Looking …");
  try {
    const photo = await createImageBitmap(file);
    const backend = byId<HTMLSelectElement>("see-backend").value as BackendName | "auto";
    const loaded = await imageModel(model, backend, (progress) => say(progressOf(progress)));
    say("Looking …");
    const seen = await loaded.classify(file, { observe: STAGE });
    // A later picture's answer may have come before this one's.
    if (turn !== latest) return;
    showResult(seen, photo);
    say(`${verdict(seen)}, of ${photo.width} × ${photo.height} pixels, by ${NAMES[seen.backend]}.`);
  } catch (error) {
    if (turn === latest) fail(inWords(error as Error));
  }
}

function verdict({ classes: [best] }: ImageClassification): string {
  const { label, score } = best!;
  return score >= SURE ? label : `Unsure: perhaps ${label}`;
}

function progressOf({ stage, loaded, total }: LoadProgress): string {
  return `${stage === "download" ? "Downloading the model" : "Preparing the model"}: ${bytes(loaded)} of ${bytes(total)} …`;
}

function showResult(seen: ImageClassification, photo: ImageBitmap): void {
  const canvas = byId<HTMLCanvasElement>("see-photo");
  const scale = Math.min(1, SIDE / Math.max(photo.width, photo.height));
  canvas.width = Math.max(1, Math.round(scale * photo.width));
  canvas.height = Math.max(1, Math.round(scale * photo.height));
  canvas.getContext("2d")!.drawImage(photo, 0, 0, canvas.width, canvas.height);
  byId("see-classes").replaceChildren(
    ...seen.classes.map(({ label, score }) =>
      element(
        "li",
        {},
        element("span", {}, label),
        element("meter", { value: score, max: 1, ariaLabel: label }),
        element("span", {}, `${(100 * score).toFixed(1)} %`),
      ),
    ),
  );
  const rows: [string, number][] = [
    ["picture to pixels", seen.decodeMs],
    ...seen.stages.map(({ stage, milliseconds }): [string, number] => [stage, milliseconds]),
    ["all, as this page saw it", seen.totalMs],
  ];
  byId("see-stages").replaceChildren(
    ...rows.map(([stage, ms]) =>
      element("tr", {}, element("th", { scope: "row" }, stage), element("td", {}, `${ms.toFixed(1)} ms`)),
    ),
  );
  byId("see-maps").replaceChildren(...scanMaps(photo, seen));
  byId("see-result").hidden = false;
}
