/**
 * The endpoint that a client with another base address meant: without the /v1 that all of OpenAI's paths begin with, with it twice, or with
 * a slash behind.
 * @param endpoints such as "POST /v1/sessions/{id}/append"
 * @returns as given, with what the path has in place of {id}; undefined where there is none
 */
export function nearPath(method: string, path: string, endpoints: readonly string[]): string | undefined {
  const bare = path.replace(/\/+$/, "").replace(/^\/v1(?=\/v1\/)/, "");
  const found = [bare, `/v1${bare}`]
    .filter((candidate) => candidate !== path)
    .flatMap((candidate) =>
      endpoints
        .map((endpoint) => endpoint.split(" ") as [string, string])
        .filter(([, template]) => matches(template, candidate))
        .map(([known]) => ({ known, candidate })),
    );
  const best = found.find(({ known }) => known === method) ?? found[0];
  return best && `${best.known} ${best.candidate}`;
}

function matches(template: string, path: string): boolean {
  const [wanted, given] = [template.split("/"), path.split("/")];
  return wanted.length === given.length && wanted.every((part, i) => part === given[i] || /^\{\w+\}$/.test(part));
}
