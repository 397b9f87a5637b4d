import type { LoadedImages } from "../protocol.ts";
import type { ImageModel } from "./api.ts";
import type { Channel } from "./channel.ts";
import { check, picture as pictures, text } from "./kinds.ts";
import { optionsOf } from "./options.ts";
import { placeOf } from "./place.ts";

/** The page's view of the image model in the Web Worker. */
export function createImageModel(channel: Channel, { info, ...chosen }: LoadedImages): ImageModel {
  const place = placeOf(channel, chosen);
  return {
    info,
    get backend() {
      return place.backend;
    },
    get reason() {
      return place.reason;
    },
    async classify(picture, given) {
      check("picture", picture, pictures);
      const { signal, ...options } = optionsOf("classify", given);
      return channel.call("classify", { picture, options }, { signal });
    },
    async setApiKey(apiKey) {
      if (apiKey !== undefined) check("apiKey", apiKey, text, ", or undefined for none");
      return channel.call("setApiKey", { apiKey });
    },
    onBackendChange: place.onChange,
    async dispose() {
      await channel.call("dispose", undefined).catch(() => {});
      channel.close();
    },
  };
}
