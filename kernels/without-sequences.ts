import { noSequences } from "./check-images.ts";

/** What an executable of an image model is to a caller who wants sequences. */
export abstract class WithoutSequences {
  readonly stateLayout = [];
  readonly maxTokens = 0;
  readonly maxSequences = 0;

  createState(): never {
    throw noSequences();
  }

  begin(): never {
    throw noSequences();
  }

  run(): never {
    throw noSequences();
  }
}
