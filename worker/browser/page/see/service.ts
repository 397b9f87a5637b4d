import { type BackendName, type ImageModel, type LoadProgress, loadImageModel } from "../../client/index.ts";
import { access, withKey } from "../access.ts";

export interface ListedModel {
  readonly id: string;
  readonly name: string;
  /** names of what it tells apart, where the list has them. */
  readonly classes?: readonly string[];
}

/** Those installed that are fed images. */
export async function imageModels(): Promise<ListedModel[]> {
  const listed = (await (await fetch("/weights/index.json")).json()) as (ListedModel & { architecture: string })[];
  return listed.filter(({ architecture }) => architecture === "vmamba");
}

/** Models by backend: each is loaded once, when a first picture comes. */
const loading = new Map<string, Promise<ImageModel>>();

/** @param onProgress hears of the load, where this call begins one. @throws Error that says what failed */
export function imageModel(
  { id }: ListedModel,
  backend: BackendName | "auto",
  onProgress: (progress: LoadProgress) => void,
): Promise<ImageModel> {
  const name = `${id} ${backend}`;
  let model = loading.get(name);
  if (model === undefined) {
    model = loadImageModel(`/weights/${id}`, { backend, onProgress, ...access() });
    loading.set(name, model);
    // The next picture tries again.
    model.catch(() => loading.delete(name));
  }
  return withKey(model);
}
