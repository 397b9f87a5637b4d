import HostWorker from "../host/index.ts?worker&inline";
import type { Calls } from "../protocol.ts";
import type { LoadImageModel, LoadModel, LoadOptions } from "./api.ts";
import { addressOf } from "./arguments.ts";
import { Channel, named } from "./channel.ts";
import { createImageModel } from "./image-model.ts";
import { createModel } from "./model.ts";
import { optionsOf } from "./options.ts";

export type * from "./api.ts";

/**
 * @example
 * const model = await loadModel("/weights/fable-31m");
 * for await (const { text } of model.generate("Once upon a time")) document.body.append(text);
 */
export const loadModel: LoadModel = (url, options = {}) => load("load", url, options, createModel);

/**
 * @example
 * const model = await loadImageModel("/weights/imagenette-vmamba-6m");
 * const { classes } = await model.classify(input.files[0]);
 */
export const loadImageModel: LoadImageModel = (url, options = {}) => load("loadImages", url, options, createImageModel);

async function load<K extends "load" | "loadImages", M>(
  call: K,
  url: string | URL,
  options: LoadOptions,
  create: (channel: Channel, loaded: Calls[K][1]) => M,
): Promise<M> {
  const given = optionsOf(call === "load" ? "loadModel" : "loadImageModel", options);
  const { onProgress, signal, edge, ...rest } = given;
  signal?.throwIfAborted();
  if (typeof Worker === "undefined") {
    throw named(
      "BackendError",
      "models run in a Web Worker, which is missing here: call this in a browser, or ask a running mamba-edge over its REST API",
    );
  }
  // The Web Worker has no address that a relative one could start from.
  const args = {
    url: addressOf("url", url, base()),
    options: { ...rest, ...(edge !== undefined && { edge: addressOf("edge", edge, base()) }) },
  };
  const channel = new Channel(new HostWorker());
  try {
    return create(channel, await channel.call(call, args, { onProgress, signal }));
  } catch (error) {
    channel.close();
    throw error;
  }
}

/** What a relative address starts from: the page's, or that of the Web Worker that the client is called in. */
function base(): string {
  return typeof document === "undefined" ? location.href : document.baseURI;
}
