/**
 * The convolution's last inputs go into the state, oldest first, after a span of span.y tokens from span.x on: of a short span some of them
 * are the state's own. One invocation a channel does it, in order, as it writes over what it reads.
 * @param inputs WGSL: the convolution's input of `channel` at `position`
 */
export const keepWindow = (inputs: string): string => `
    for (var k = 0u; k < P.window; k++) {
      let token = k + span.y;
      var value = 0.0;
      if (token < P.window) {
        value = state[token * P.inner + channel];
      } else {
        let position = span.x + token - P.window;
        value = ${inputs};
      }
      state[k * P.inner + channel] = value;
    }`;
