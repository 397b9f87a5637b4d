#include "dots.h"
#include "output.h"

// y = W x + b for a q8 matrix in the tile layout of weights/layout.ts: tiles of 8 rows × 32 columns, 8 bf16 scales then 8 chunks of
// 8 rows × 4 int8. One layout serves a single token (several row blocks at once, each its own stream through memory) and many (one row
// block, tiles of 4 tokens). Each (row, token) is summed group after group in f32, in whatever company: the bits do not depend on it.

enum { SCALE_BYTES = 2 * BLOCK, CHUNK_BYTES = 4 * BLOCK, TILE_BYTES = SCALE_BYTES + BLOCK * GROUP };

typedef struct {
  int kind; // of dot
  const uint8_t *w;
  int rows, groups;
  const uint8_t *records;
} Job;

// `streams` row blocks, `step` blocks apart, times a tile of `tokens` tokens; streams · tokens ≤ 4.
INLINE void multiply(int streams, int tokens, const Job *job, int block, int step, const uint8_t *x, int token, const Output *out) {
  const v128_t constant = dot_constant();
  const int groups = job->groups, stream_bytes = step * groups * TILE_BYTES;
  const uint8_t *w = job->w + block * groups * TILE_BYTES;
  v128_t total[4][4][2];
  UNROLL for (int s = 0; s < streams; s++) UNROLL for (int t = 0; t < tokens; t++) total[s][t][0] = total[s][t][1] = splat(0.f);
  ROLLED for (int g = 0; g < groups; g++, w += TILE_BYTES, x += RECORD_BYTES * tokens) {
    v128_t sum[4][4][2];
    UNROLL for (int t = 0; t < tokens; t++) {
      v128_t start = load_splat(x + 4 * t);
      UNROLL for (int s = 0; s < streams; s++) sum[s][t][0] = sum[s][t][1] = start;
    }
    const uint8_t *chunk = w + SCALE_BYTES, *q = x + 8 * tokens;
    ROLLED for (int k = 0; k < CHUNKS; k++, chunk += CHUNK_BYTES, q += 8 * tokens) {
      UNROLL for (int s = 0; s < streams; s++) {
        v128_t w0 = load(chunk + s * stream_bytes), w1 = load(chunk + s * stream_bytes + 16);
        UNROLL for (int t = 0; t < tokens; t++) {
          v128_t a = load_splat(q + 4 * t), b = load_splat(q + 4 * (tokens + t));
          sum[s][t][0] = dot(job->kind, constant, w0, a, b, sum[s][t][0]);
          sum[s][t][1] = dot(job->kind, constant, w1, a, b, sum[s][t][1]);
        }
      }
    }
    UNROLL for (int s = 0; s < streams; s++) {
      v128_t w0 = load_bf16(w + s * stream_bytes), w1 = load_bf16(w + s * stream_bytes + 8);
      UNROLL for (int t = 0; t < tokens; t++) {
        v128_t scale = load_splat(x + 4 * (tokens + t));
        total[s][t][0] = add(total[s][t][0], mul(wasm_f32x4_convert_i32x4(sum[s][t][0]), mul(w0, scale)));
        total[s][t][1] = add(total[s][t][1], mul(wasm_f32x4_convert_i32x4(sum[s][t][1]), mul(w1, scale)));
      }
    }
  }
  UNROLL for (int s = 0; s < streams; s++) UNROLL for (int t = 0; t < tokens; t++) UNROLL for (int h = 0; h < 2; h++) {
    put(out, (block + s * step) * BLOCK + 4 * h, token + t, mul(total[s][t][h], splat(SUM_UNIT)));
  }
}

// All row blocks from `first` on in `streams` equal runs read side by side; returns the first block left over.
INLINE int sweep(int streams, int tokens, const Job *job, int first, const Output *out) {
  const int run = (blocks_of(job->rows) - first) / streams;
  for (int b = 0; b < run; b++) multiply(streams, tokens, job, first + b, run, job->records, 0, out);
  return first + run * streams;
}

INLINE void project(int tokens, const Job *job, const Output *out) {
  if (tokens == 1) {
    int done = sweep(4, 1, job, 0, out);
    done = sweep(2, 1, job, done, out);
    sweep(1, 1, job, done, out);
  } else if (tokens == 2) {
    int done = sweep(2, 2, job, 0, out);
    sweep(1, 2, job, done, out);
  } else if (tokens == 3) {
    sweep(1, 3, job, 0, out);
  } else {
    const int tile_bytes = TOKEN_TILE * job->groups * RECORD_BYTES, whole = tokens / TOKEN_TILE * TOKEN_TILE;
    for (int b = 0; b < blocks_of(job->rows); b++) {
      const uint8_t *x = job->records;
      for (int t = 0; t < whole; t += TOKEN_TILE, x += tile_bytes) multiply(1, 4, job, b, 0, x, t, out);
      switch (tokens - whole) {
        case 1: multiply(1, 1, job, b, 0, x, whole, out); break;
        case 2: multiply(1, 2, job, b, 0, x, whole, out); break;
        case 3: multiply(1, 3, job, b, 0, x, whole, out); break;
      }
    }
  }
}

#define PROJECT_Q8(NAME, KIND)                                                                                                          \
  EXPORT(NAME)                                                                                                                          \
  void NAME(const uint8_t *w, int rows, int cols, const uint8_t *records, int tokens, const float *bias, float *y, int stride,          \
            int accumulate) {                                                                                                           \
    const Job job = {KIND, w, rows, groups_of(cols), records};                                                                          \
    const Output out = {y, stride, bias, accumulate};                                                                                   \
    project(tokens, &job, &out);                                                                                                        \
  }

#ifdef RELAXED
PROJECT_Q8(project_q8_fused, FUSED)
PROJECT_Q8(project_q8_paired, PAIRED)
#else
PROJECT_Q8(project_q8_widened, WIDENED)
#endif
