import { byId, element } from "../dom.ts";

/** Photographs that the build puts beside the page (scripts/build-browser.ts), and what is on them. */
const SAMPLES = {
  "church-1": "a church",
  "english-springer-0": "a dog",
  "parachute-2": "a parachute",
  "garbage-truck-2": "a garbage truck",
};

/** Pictures to click, for who has none at hand. @param onFail hears why one could not be fetched */
export function showSamples(onPick: (picture: Blob) => void, onFail: (reason: string) => void): void {
  byId("see-samples").replaceChildren(
    ...Object.entries(SAMPLES).map(([name, what]) => {
      const src = `/page/photographs/${name}.jpg`;
      const image = element("img", { src, alt: `Photograph of ${what}`, width: 112, height: 112 });
      const button = element("button", { type: "button" }, image);
      button.addEventListener("click", () => {
        fetchPicture(src).then(onPick, (error: Error) => onFail(error.message));
      });
      return button;
    }),
  );
}

async function fetchPicture(src: string): Promise<Blob> {
  const response = await fetch(src);
  if (!response.ok) throw new Error(`${src} was answered with ${response.status}: build the page again`);
  return response.blob();
}
