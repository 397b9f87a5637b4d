import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = { ".js": "text/javascript", ".wasm": "application/wasm" };

/**
 * Serves files over loopback, and an empty page at /. It sends no cross-origin isolation headers, so a page on it has no
 * SharedArrayBuffer and WebAssembly there no threads.
 * @param folders first part of the path → folder
 */
export async function serveFiles(folders: Readonly<Record<string, string>>): Promise<{ url: string; close(): void }> {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url ?? "/", "http://localhost").pathname);
    if (path === "/") {
      response.setHeader("content-type", "text/html");
      response.end("<!doctype html>");
      return;
    }
    const [, first = "", ...rest] = path.split("/");
    const file = join(folders[first] ?? "", ...rest);
    const found = folders[first] === undefined ? undefined : await stat(file).catch(() => undefined);
    if (found?.isFile() !== true) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
    response.setHeader("content-length", found.size);
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
