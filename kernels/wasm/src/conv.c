#include "math.h"

// Causal depthwise convolution and its activation, for one sequence:
//   out[t] = silu(b + Σ_k w[k] · x[t − (K − 1) + k])
// where x before the span is the state: the last K − 1 columns, oldest first.

typedef struct {
  const float *x; // (tokens, stride)
  int stride;
  float *state; // (K − 1, channels)
  int channels; // multiple of 16
} Window;

// Column `at` of the input, counted from the span's first token.
INLINE const float *column(const Window *window, int at, int width) {
  return at < 0 ? window->state + (at + width - 1) * window->channels : window->x + at * window->stride;
}

INLINE void convolve(int width, const Window *window, int tokens, const float *weight, const float *bias, float *out, int out_stride) {
  const Exp2 e = exp2_constants(-60.f);
  for (int t = 0; t < tokens; t++, out += out_stride) {
    for (int channel = 0; channel < window->channels; channel += CHANNELS) {
      const float *w = weight + channel * width; // (K, 16)
      Quad y = bias ? load_quad(bias + channel) : splat_quad(0.f);
      for (int k = 0; k < width; k++) {
        const float *x = column(window, t + k - (width - 1), width) + channel;
        EACH(i) y.v[i] = add(y.v[i], mul(load(x + 4 * i), load(w + k * CHANNELS + 4 * i)));
      }
      store_quad(out + channel, silu_quad(&e, y));
    }
  }
  // Keeps the last K − 1 columns. Going up, a row of the state is overwritten only after it was moved.
  for (int k = 0; k < width - 1; k++) {
    const float *last = column(window, tokens + k - (width - 1), width);
    for (int i = 0; i < window->channels; i += 4) store(window->state + k * window->channels + i, load(last + i));
  }
}

EXPORT(causal_conv)
void causal_conv(const float *x, int stride, int tokens, int channels, int width, const float *weight, const float *bias, float *state,
                 float *out, int out_stride) {
  const Window window = {x, stride, state, channels};
  if (width == 4) convolve(4, &window, tokens, weight, bias, out, out_stride);
  else convolve(width, &window, tokens, weight, bias, out, out_stride);
}
