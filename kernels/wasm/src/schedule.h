#pragma once
#include "output.h"
#include "record.h"

// Which register tiles a quantized projection is cut into, for one token and for many. The file that includes it defines before:
// Job, multiply, KIND_RECORD_BYTES (of one token's record) and PIECE.

// All row blocks from `first` on in `streams` equal runs read side by side, for a single tile of tokens; returns the first block left over.
INLINE int sweep(int streams, int tokens, const Job *job, int first, const Output *out) {
  const int run = (blocks_of(job->rows) - first) / streams;
  float partial[4 * BLOCK];
  for (int b = 0; b < run; b++) multiply(streams, tokens, job, first + b, run, job->records, 0, job->groups, partial, 0, out);
  return first + run * streams;
}

// A row block times many tokens. Its weights are taken in pieces that stay in the first-level cache while every tile passes.
enum { PANEL = 16 };
INLINE void pass_tiles(int tokens, const Job *job, int block, const Output *out) {
  const int tile_bytes = TOKEN_TILE * job->groups * KIND_RECORD_BYTES(job->kind);
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

#define PROJECT(NAME, KIND)                                                                                                             \
  EXPORT(NAME)                                                                                                                          \
  void NAME(const uint8_t *w, int rows, int cols, const uint8_t *records, int tokens, const float *bias, float *y, int stride,          \
            int accumulate) {                                                                                                           \
    const Job job = {KIND, w, rows, groups_of(cols), records};                                                                          \
    const Output out = {y, stride, bias, accumulate};                                                                                   \
    project(tokens, &job, &out);                                                                                                        \
  }
