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

// Groups `from` to `to` of a register tile: `streams` row blocks, `step` blocks apart, times `tokens` tokens; streams · tokens ≤ 4.
// Sums that do not begin or end here are carried in `partial` (streams, tokens, 8).
INLINE void multiply(int streams, int tokens, const Job *job, int block, int step, const uint8_t *x, int from, int to, float *partial,
                     int token, const Output *out) {
  const v128_t constant = dot_constant();
  const int stream_bytes = step * job->groups * TILE_BYTES;
  const uint8_t *w = job->w + (block * job->groups + from) * TILE_BYTES;
  v128_t total[4][4][2];
  UNROLL for (int s = 0; s < streams; s++) UNROLL for (int t = 0; t < tokens; t++) UNROLL for (int h = 0; h < 2; h++) {
    total[s][t][h] = from == 0 ? splat(0.f) : load(partial + (s * tokens + t) * BLOCK + 4 * h);
  }
  x += from * RECORD_BYTES * tokens;
  ROLLED for (int g = from; g < to; g++, w += TILE_BYTES, x += RECORD_BYTES * tokens) {
    v128_t sum[4][4][2];
    UNROLL for (int t = 0; t < tokens; t++) {
      const v128_t start = load_splat(x + 4 * t);
      UNROLL for (int s = 0; s < streams; s++) sum[s][t][0] = sum[s][t][1] = start;
    }
    const uint8_t *chunk = w + SCALE_BYTES, *q = x + 8 * tokens;
    ROLLED for (int k = 0; k < CHUNKS; k++, chunk += CHUNK_BYTES, q += 8 * tokens) {
      UNROLL for (int s = 0; s < streams; s++) {
        const v128_t w0 = load(chunk + s * stream_bytes), w1 = load(chunk + s * stream_bytes + 16);
        UNROLL for (int t = 0; t < tokens; t++) {
          const v128_t a = load_splat(q + 4 * t), b = load_splat(q + 4 * (tokens + t));
          sum[s][t][0] = dot(job->kind, constant, w0, a, b, sum[s][t][0]);
          sum[s][t][1] = dot(job->kind, constant, w1, a, b, sum[s][t][1]);
        }
      }
    }
    UNROLL for (int s = 0; s < streams; s++) {
      const v128_t w0 = load_bf16(w + s * stream_bytes), w1 = load_bf16(w + s * stream_bytes + 8);
      UNROLL for (int t = 0; t < tokens; t++) {
        const v128_t scale = load_splat(x + 4 * (tokens + t));
        total[s][t][0] = add(total[s][t][0], mul(wasm_f32x4_convert_i32x4(sum[s][t][0]), mul(w0, scale)));
        total[s][t][1] = add(total[s][t][1], mul(wasm_f32x4_convert_i32x4(sum[s][t][1]), mul(w1, scale)));
      }
    }
  }
  UNROLL for (int s = 0; s < streams; s++) UNROLL for (int t = 0; t < tokens; t++) UNROLL for (int h = 0; h < 2; h++) {
    if (to < job->groups) store(partial + (s * tokens + t) * BLOCK + 4 * h, total[s][t][h]);
    else put(out, (block + s * step) * BLOCK + 4 * h, token + t, mul(total[s][t][h], splat(SUM_UNIT)));
  }
}

// All row blocks from `first` on in `streams` equal runs read side by side, for a single tile of tokens; returns the first block left over.
INLINE int sweep(int streams, int tokens, const Job *job, int first, const Output *out) {
  const int run = (blocks_of(job->rows) - first) / streams;
  for (int b = 0; b < run; b++) multiply(streams, tokens, job, first + b, run, job->records, 0, job->groups, 0, 0, out);
  return first + run * streams;
}

// A row block times many tokens. Its weights are taken in pieces that stay in the first-level cache while every tile passes.
enum { PIECE = 12, PANEL = 16 };
INLINE void pass_tiles(int tokens, const Job *job, int block, const Output *out) {
  const int tile_bytes = TOKEN_TILE * job->groups * RECORD_BYTES;
  float partial[PANEL][TOKEN_TILE * BLOCK];
  for (int panel = 0; panel < tokens; panel += PANEL * TOKEN_TILE) {
    const int end = tokens < panel + PANEL * TOKEN_TILE ? tokens : panel + PANEL * TOKEN_TILE;
    for (int from = 0; from < job->groups; from += PIECE) {
      const int to = from + PIECE < job->groups ? from + PIECE : job->groups;
      const uint8_t *x = job->records + panel / TOKEN_TILE * tile_bytes;
      float *sums = partial[0];
      for (int t = panel; t < end; t += TOKEN_TILE, x += tile_bytes, sums += TOKEN_TILE * BLOCK) {
        switch (tile_tokens(end - t)) {
          case 1: multiply(1, 1, job, block, 0, x, from, to, sums, t, out); break;
          case 2: multiply(1, 2, job, block, 0, x, from, to, sums, t, out); break;
          case 3: multiply(1, 3, job, block, 0, x, from, to, sums, t, out); break;
          default: multiply(1, 4, job, block, 0, x, from, to, sums, t, out);
        }
      }
    }
  }
}

// A matrix of few row blocks is read in two streams: beginning a stream costs more than four gain.
enum { FEW_BLOCKS = 16 };
INLINE void project(int tokens, const Job *job, const Output *out) {
  if (tokens == 1) {
    int done = blocks_of(job->rows) < FEW_BLOCKS ? 0 : sweep(4, 1, job, 0, out);
    done = sweep(2, 1, job, done, out);
    sweep(1, 1, job, done, out);
  } else if (tokens == 2) {
    int done = sweep(2, 2, job, 0, out);
    sweep(1, 2, job, done, out);
  } else {
    for (int block = 0; block < blocks_of(job->rows); block++) pass_tiles(tokens, job, block, out);
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
