import type { LoadedImages } from "../protocol.ts";
import type { ImageModel } from "./api.ts";
import type { Channel } from "./channel.ts";

/** The page's view of the image model in the Web Worker. */
export function createImageModel(channel: Channel, { info, backend, reason }: LoadedImages): ImageModel {
  return {
    info,
    backend,
    reason,
    classify: (picture, { signal, ...options } = {}) => channel.call("classify", { picture, options }, { signal }),
    async dispose() {
      await channel.call("dispose", undefined).catch(() => {});
      channel.close();
    },
  };
}
