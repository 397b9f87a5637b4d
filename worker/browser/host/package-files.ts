import { httpSource } from "../../../weights/http.ts";
import { type PackageSource, withErrors } from "../../../weights/source.ts";
import type { Edge } from "./edge.ts";
import { EdgeError } from "./errors.ts";

/** A package's files over HTTP. @throws EdgeError 401 from `open` when the deployment keeps them for who has a key */
export function packageFiles(url: string, edge: Edge): PackageSource {
  return withErrors(
    httpSource(url, (file, init) => edge.fetchFile(file, init)),
    (error) => {
      const { cause } = error as Error;
      return cause instanceof EdgeError ? cause : error;
    },
  );
}
