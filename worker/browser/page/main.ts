import { loadModel } from "../client/index.ts"; console.log(loadModel);
