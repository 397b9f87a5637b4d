import { decodeImage } from "../../../worker/edge/images/decode.ts";
import { resizeAndCrop } from "../../../worker/engine/image/prepare.ts";

export * from "../../../worker/edge/index.ts";

/** Decodes, resizes and crops each request's body: `?side=` pixels of its short side, and of the square. */
export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/healthz") return Response.json({ status: "ok" });
    const side = Number(searchParams.get("side"));
    try {
      const raster = await decodeImage(await request.bytes());
      return new Response(resizeAndCrop(raster, { shortSide: side, height: side, width: side, filter: "bicubic" }));
    } catch (error) {
      return new Response(String(error), { status: 400 });
    }
  },
};
