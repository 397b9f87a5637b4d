#include "output.h"
#include "record.h"

// y = W x + b for an f32 matrix in blocks of 8 rows, each (cols, 8): lanes are rows. Each (row, token) is summed column after column.

// Activations (tokens, cols) → tiles of up to 4 tokens, each (cols, tokens).
EXPORT(interleave) void interleave(const float *x, int stride, int tokens, int cols, float *tiles) {
  for (int first = 0; first < tokens; first += TOKEN_TILE, x += TOKEN_TILE * stride) {
    const int count = tile_tokens(tokens - first);
    int c = 0;
    for (; count == TOKEN_TILE && c + 4 <= cols; c += 4, tiles += 16) {
      v128_t v[4];
      UNROLL for (int t = 0; t < 4; t++) v[t] = load(x + t * stride + c);
      transpose(v);
      UNROLL for (int i = 0; i < 4; i++) store(tiles + 4 * i, v[i]);
    }
    for (; c < cols; c++)
      for (int t = 0; t < count; t++) *tiles++ = x[t * stride + c];
  }
}

// `streams` row blocks, `step` blocks apart, times a tile of `tokens` tokens; streams · tokens ≤ 4.
INLINE void multiply(int streams, int tokens, const float *w, int block, int step, int cols, const float *x, int token,
                     const Output *out) {
  v128_t total[4][4][2];
  w += block * cols * BLOCK;
  const int stream = step * cols * BLOCK;
  UNROLL for (int s = 0; s < streams; s++) UNROLL for (int t = 0; t < tokens; t++) total[s][t][0] = total[s][t][1] = splat(0.f);
  ROLLED for (int c = 0; c < cols; c++, w += BLOCK, x += tokens) {
    UNROLL for (int s = 0; s < streams; s++) {
      v128_t w0 = load(w + s * stream), w1 = load(w + s * stream + 4);
      UNROLL for (int t = 0; t < tokens; t++) {
        v128_t v = load_splat(x + t);
        total[s][t][0] = mul_add(w0, v, total[s][t][0]);
        total[s][t][1] = mul_add(w1, v, total[s][t][1]);
      }
    }
  }
  UNROLL for (int s = 0; s < streams; s++) UNROLL for (int t = 0; t < tokens; t++) UNROLL for (int h = 0; h < 2; h++) {
    put(out, (block + s * step) * BLOCK + 4 * h, token + t, total[s][t][h]);
  }
}

// All row blocks from `first` on in `streams` equal runs read side by side; returns the first block left over.
INLINE int sweep(int streams, int tokens, const float *w, int first, int blocks, int cols, const float *x, const Output *out) {
  const int run = (blocks - first) / streams;
  for (int b = 0; b < run; b++) multiply(streams, tokens, w, first + b, run, cols, x, 0, out);
  return first + run * streams;
}

EXPORT(project_f32)
void project_f32(const float *w, int rows, int cols, const float *tiles, int tokens, const float *bias, float *y, int stride,
                 int accumulate) {
  const Output out = {y, stride, bias, accumulate};
  const int blocks = blocks_of(rows);
  if (tokens == 1) {
    int done = sweep(4, 1, w, 0, blocks, cols, tiles, &out);
    done = sweep(2, 1, w, done, blocks, cols, tiles, &out);
    sweep(1, 1, w, done, blocks, cols, tiles, &out);
  } else if (tokens == 2) {
    int done = sweep(2, 2, w, 0, blocks, cols, tiles, &out);
    sweep(1, 2, w, done, blocks, cols, tiles, &out);
  } else if (tokens == 3) {
    sweep(1, 3, w, 0, blocks, cols, tiles, &out);
  } else {
    const int whole = tokens / TOKEN_TILE * TOKEN_TILE;
    for (int b = 0; b < blocks; b++) {
      const float *x = tiles;
      for (int t = 0; t < whole; t += TOKEN_TILE, x += TOKEN_TILE * cols) multiply(1, 4, w, b, 0, cols, x, t, &out);
      switch (tokens - whole) {
        case 1: multiply(1, 1, w, b, 0, cols, x, whole, &out); break;
        case 2: multiply(1, 2, w, b, 0, cols, x, whole, &out); break;
        case 3: multiply(1, 3, w, b, 0, cols, x, whole, &out); break;
      }
    }
  }
}
