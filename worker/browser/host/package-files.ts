import { httpSource } from "../../../weights/http.ts";
import type { PackageSource } from "../../../weights/source.ts";
import type { Edge } from "./edge.ts";
import { EdgeError } from "./errors.ts";

/** A package's files over HTTP. @throws EdgeError 401 from `open` when the deployment keeps them for who has a key */
export function packageFiles(url: string, edge: Edge): PackageSource {
  const source = httpSource(url, (file, init) => edge.fetchFile(file, init));
  return {
    description: source.description,
    async open(file, signal) {
      try {
        return await source.open(file, signal);
      } catch (error) {
        const { cause } = error as Error;
        throw cause instanceof EdgeError ? cause : error;
      }
    },
  };
}
