import { byId } from "../dom.ts";

/** How one picture's last scans of a stage responded, direction by direction. */
export interface Scans {
  readonly height: number;
  readonly width: number;
  /** (4, height, width). */
  readonly values: readonly number[];
}

export interface Seen {
  readonly classes: readonly { readonly label: string; readonly score: number }[];
  readonly scans: Scans;
  readonly milliseconds: readonly (readonly [stage: string, number])[];
}

export interface ImageModel {
  readonly id: string;
  readonly name: string;
}

/** Those installed that are fed images. */
export async function imageModels(): Promise<ImageModel[]> {
  const listed = (await (await fetch("/weights/index.json")).json()) as (ImageModel & { architecture: string })[];
  return listed.filter(({ architecture }) => architecture === "vmamba");
}

/** @throws Error with the Worker's own words */
export async function see(model: ImageModel, picture: Blob, stage: number): Promise<Seen> {
  const key = byId<HTMLInputElement>("key").value.trim();
  const query = new URLSearchParams({ model: model.id, observe: String(stage) });
  const start = performance.now();
  const response = await fetch(`/v1/images/classifications?${query}`, {
    method: "POST",
    headers: { "content-type": picture.type, ...(key !== "" && { authorization: `Bearer ${key}` }) },
    body: picture,
  });
  const reply = await response.json();
  if (!response.ok) throw new Error(reply.error.message);
  const { decode, stages } = reply.timings.wall_milliseconds_across_io;
  const [{ classes, scans }] = reply.data;
  const named = stages.map(({ stage, milliseconds }: { stage: string; milliseconds: number }) => [stage, milliseconds]);
  const milliseconds = [
    ["picture to pixels", decode],
    ...named,
    ["all, as this page saw it", performance.now() - start],
  ];
  return { classes, scans, milliseconds } as Seen;
}
