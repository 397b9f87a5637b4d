import { byId, element } from "../dom.ts";
import { scanMaps } from "./scan-maps.ts";
import { type ImageModel, imageModels, see } from "./service.ts";

/** Whose scans are shown: fine enough to see where, coarse enough to see what. */
const STAGE = 2;
/** Larger pictures are made smaller here: the Worker reads 4 million pixels, and models see far fewer. */
const MOST_SIDE = 1024;

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
  const file = byId<HTMLInputElement>("see-file");
  file.addEventListener("change", () => void show(model, file.files?.[0]));
  const drop = byId("see-drop");
  drop.addEventListener("dragover", (event) => event.preventDefault());
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    void show(model, event.dataTransfer?.files[0]);
  });
}

let latest = 0;

async function show(model: ImageModel, file: File | undefined): Promise<void> {
  if (file === undefined) return;
  const turn = ++latest;
  const status = byId("see-status");
  status.textContent = "Looking …";
  try {
    const photo = await createImageBitmap(file);
    const seen = await see(model, await small(file, photo), STAGE);
    // A later picture's answer may have come before this one's.
    if (turn !== latest) return;
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
    byId("see-stages").replaceChildren(
      ...seen.milliseconds.map(([stage, ms]) =>
        element("tr", {}, element("th", { scope: "row" }, stage), element("td", {}, `${ms.toFixed(1)} ms`)),
      ),
    );
    byId("see-maps").replaceChildren(...scanMaps(photo, seen.scans));
    byId("see-result").hidden = false;
    status.textContent = `${seen.classes[0]!.label}, of ${photo.width} × ${photo.height} pixels.`;
  } catch (error) {
    if (turn === latest) status.textContent = `This picture cannot be shown: ${(error as Error).message}`;
  }
}

async function small(file: File, photo: ImageBitmap): Promise<Blob> {
  const scale = MOST_SIDE / Math.max(photo.width, photo.height);
  if (scale >= 1 && ["image/jpeg", "image/png", "image/webp"].includes(file.type)) return file;
  const [width, height] = [photo.width, photo.height].map((side) => Math.max(1, Math.round(side * Math.min(1, scale))));
  const canvas = new OffscreenCanvas(width!, height!);
  canvas.getContext("2d")!.drawImage(photo, 0, 0, width!, height!);
  return await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
}
