import { loadModel } from "../client/index.ts";

Object.assign(globalThis, { loadModel });
