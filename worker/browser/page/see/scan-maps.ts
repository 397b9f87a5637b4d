import type { ImageClassification } from "../../client/index.ts";
import { element } from "../dom.ts";

const NAMES = ["row by row", "column by column", "rows, backwards", "columns, backwards"];
/** Pixels of the longer side. */
const SIDE = 220;

type Scans = NonNullable<ImageClassification["scans"]>;

/** The four scans over the part of the picture that the model saw: each one's path, and where its state responded. */
export function scanMaps(
  photo: ImageBitmap,
  { crop, scans }: Pick<ImageClassification, "crop" | "scans">,
): HTMLElement[] {
  if (scans === undefined) return [];
  const scale = SIDE / Math.max(crop.width, crop.height);
  return NAMES.map((name, direction) => {
    const canvas = element("canvas", {
      width: Math.round(scale * crop.width),
      height: Math.round(scale * crop.height),
    });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Scan ${name}: its path and how strongly its state responded along it`);
    const context = canvas.getContext("2d")!;
    context.drawImage(photo, crop.left, crop.top, crop.width, crop.height, 0, 0, canvas.width, canvas.height);
    draw(context, scans, direction);
    return element("figure", {}, canvas, element("figcaption", {}, name));
  });
}

function draw(context: CanvasRenderingContext2D, { height, width, values }: Scans, direction: number): void {
  const map = values.slice(direction * height * width, (direction + 1) * height * width);
  const [least, most] = [Math.min(...map), Math.max(...map)];
  const [across, down] = [context.canvas.width / width, context.canvas.height / height];
  for (const [pixel, value] of map.entries()) {
    const strength = (value - least) / (most - least || 1);
    context.fillStyle = `rgb(255 140 0 / ${0.75 * strength})`;
    context.fillRect((pixel % width) * across, Math.floor(pixel / width) * down, across, down);
  }
  const path = order(direction, height, width);
  const at = (pixel: number): [number, number] => [
    ((pixel % width) + 0.5) * across,
    (Math.floor(pixel / width) + 0.5) * down,
  ];
  // Thin where the lines lie close, so that the map stays to be seen.
  context.strokeStyle = "rgb(255 255 255 / 0.55)";
  context.lineWidth = Math.min(1.5, Math.min(across, down) / 14);
  context.beginPath();
  for (const pixel of path) context.lineTo(...at(pixel));
  context.stroke();
  context.fillStyle = "#fff";
  context.beginPath();
  context.arc(...at(path[0]!), 4, 0, 2 * Math.PI);
  context.fill();
}

/** The pixels in the order of a direction: 0 rows, 1 columns, 2 and 3 the same from the end. */
export function order(direction: number, height: number, width: number): number[] {
  const steps = Array.from({ length: height * width }, (_, s) =>
    direction % 2 === 0 ? s : (s % height) * width + Math.floor(s / height),
  );
  return direction < 2 ? steps : steps.reverse();
}
