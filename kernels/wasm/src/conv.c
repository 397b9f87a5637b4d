#include "math.h"

// Causal depthwise convolution and its activation, for one sequence, 16 channels through all tokens before the next 16:
//   out[t] = silu(b + Σ_k w[k] · x[t − (K − 1) + k])
// where x before the span is the state, the last K − 1 columns, oldest first. Weights are in blocks of 16 channels, (K, 16) each, the
// state too, (K − 1, 16) each.

typedef struct {
  const float *x; // (tokens, stride), from this block's first channel on
  int stride;
  float *state; // (K − 1, 16)
} Window;

// Column `at` of the input, counted from the span's first token.
INLINE const float *column(const Window *window, int at, int width) {
  return at < 0 ? window->state + (at + width - 1) * CHANNELS : window->x + at * window->stride;
}

INLINE void convolve(int width, const Exp2 *e, const Window *window, int tokens, const float *w, Quad bias, float *out, int out_stride) {
  for (int t = 0; t < tokens; t++, out += out_stride) {
    Quad y = bias;
    for (int k = 0; k < width; k++) {
      const Quad x = load_quad(column(window, t + k - (width - 1), width)), wk = load_quad(w + k * CHANNELS);
      EACH(i) y.v[i] = mul_add(x.v[i], wk.v[i], y.v[i]);
    }
    store_quad(out, silu_quad(e, y));
  }
  // Keeps the last K − 1 columns. Going up, a column of the state is overwritten only after it was moved.
  for (int k = 0; k < width - 1; k++) {
    store_quad(window->state + k * CHANNELS, load_quad(column(window, tokens + k - (width - 1), width)));
  }
}

EXPORT(causal_conv)
void causal_conv(const float *x, int stride, int tokens, int channels, int width, const float *weight, const float *bias, float *state,
                 float *out, int out_stride) {
  const Exp2 e = exp2_constants(-60.f);
  for (int channel = 0; channel < channels; channel += CHANNELS) {
    const Window window = {x + channel, stride, state + channel * (width - 1)};
    const float *w = weight + channel * width;
    const Quad b = bias ? load_quad(bias + channel) : splat_quad(0.f);
    if (width == 4) convolve(4, &e, &window, tokens, w, b, out + channel, out_stride);
    else convolve(width, &e, &window, tokens, w, b, out + channel, out_stride);
  }
}
