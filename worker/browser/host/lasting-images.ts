import type { Executable, ImageInput, ImageOutput, ImagePass, ImageRunner } from "../../../kernels/backend.ts";

/** How passes of images outlive the executable that they began on. */
export interface ImageHome {
  /** what computes now. */
  active(): Executable;
  /** Runs a call on an executable that may fail. Undefined when it has, and another takes over in `settle`. */
  attempt<T>(call: () => T): T | undefined;
  /** Awaits a read, and where what it was begun on is gone by then, `again` in its place. */
  settle<T>(read: (() => Promise<T>) | undefined, again: () => Promise<T>): Promise<T>;
}

/** Images have no state: what was lost or moved away in the midst of a pass is computed again where the model computes now. */
export function lastingImages(home: ImageHome): ImageRunner | undefined {
  const { images } = home.active();
  if (images === undefined) return undefined;
  const { maxImage, maxImages } = images;
  return { maxImage, maxImages, begin: (inputs, observe) => lastingPass(home, inputs, observe) };
}

function lastingPass(home: ImageHome, inputs: readonly ImageInput[], observe: number | undefined): ImagePass {
  const first = home.active();
  const inner = home.attempt(() => first.images!.begin(inputs, observe));
  let block = 0;
  return {
    get block() {
      return block;
    },
    advance(end = first.blocks.length) {
      if (home.active() === first) home.attempt(() => inner?.advance(end));
      block = end;
    },
    read: () =>
      home.settle<readonly ImageOutput[]>(inner && home.active() === first ? () => inner.read() : undefined, () => {
        const pass = home.active().images!.begin(inputs, observe);
        pass.advance();
        return pass.read();
      }),
  };
}
