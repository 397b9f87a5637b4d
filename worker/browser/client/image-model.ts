import type { LoadedImages } from "../protocol.ts";
import type { ImageModel } from "./api.ts";
import type { Channel } from "./channel.ts";
import { checkOptions } from "./options.ts";

/** The page's view of the image model in the Web Worker. */
export function createImageModel(channel: Channel, { info, backend, reason }: LoadedImages): ImageModel {
  return {
    info,
    backend,
    reason,
    async classify(picture, given = {}) {
      checkOptions("classify", given);
      const { signal, ...options } = given;
      return channel.call("classify", { picture, options }, { signal });
    },
    async dispose() {
      await channel.call("dispose", undefined).catch(() => {});
      channel.close();
    },
  };
}
