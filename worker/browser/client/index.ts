import HostWorker from "../host/index.ts?worker&inline";
import type { LoadModel, LoadOptions } from "./api.ts";
import { Channel } from "./channel.ts";
import { createModel } from "./model.ts";

export type * from "./api.ts";

/**
 * @example
 * const model = await loadModel("/weights/fable-31m@0123456789ab");
 * for await (const { text } of model.generate("Once upon a time")) document.body.append(text);
 */
export const loadModel: LoadModel = async (url, options = {}) => {
  const { onProgress, signal, ...rest } = options;
  signal?.throwIfAborted();
  const channel = new Channel(new HostWorker());
  try {
    const args = { url: new URL(url, document.baseURI).href, options: absolute(rest) };
    const loaded = await channel.call("load", args, { onProgress, signal });
    return createModel(channel, loaded);
  } catch (error) {
    channel.close();
    throw error;
  }
};

/** The Web Worker has no address that a relative one could start from. */
function absolute(options: Omit<LoadOptions, "onProgress" | "signal">): Omit<LoadOptions, "onProgress" | "signal"> {
  return options.edge === undefined ? options : { ...options, edge: new URL(options.edge, document.baseURI).href };
}
