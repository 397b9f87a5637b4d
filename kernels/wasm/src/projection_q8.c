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
// The sums over groups lie in `partial` (streams, tokens, 8): with those over columns they are more than there are registers.
INLINE void multiply(int streams, int tokens, const Job *job, int block, int step, const uint8_t *x, int from, int to, float *partial,
                     int token, const Output *out) {
  const v128_t constant = dot_constant(job->kind);
  const int record = record_bytes(job->kind) * tokens, step_bytes = (record - 8 * tokens) / CHUNKS;
  const int stream_bytes = step * job->groups * TILE_BYTES;
  const uint8_t *w = job->w + (block * job->groups + from) * TILE_BYTES;
  if (from == 0) {
    UNROLL for (int i = 0; i < 2 * streams * tokens; i++) store(partial + 4 * i, splat(0.f));
  }
  x += from * record;
  ROLLED for (int g = from; g < to; g++, w += TILE_BYTES, x += record) {
    v128_t sum[4][4][2];
    UNROLL for (int t = 0; t < tokens; t++) {
      const v128_t start = dot_start(job->kind, load_splat(x + 4 * t));
      UNROLL for (int s = 0; s < streams; s++) sum[s][t][0] = sum[s][t][1] = start;
    }
    const uint8_t *chunk = w + SCALE_BYTES, *first = x + 8 * tokens, *second = first + 4 * tokens;
    const int at_once = streams == 1 || tokens == 1 ? chunks_at_once(job->kind) : 1;
    ROLLED for (int k = 0; k < CHUNKS; k += at_once) {
      UNROLL for (int j = 0; j < at_once; j++, chunk += CHUNK_BYTES, first += step_bytes, second += step_bytes) {
        opaque(&chunk, &first, &second);
        Columns q[4];
        if (streams > 1) {
          UNROLL for (int t = 0; t < tokens; t++) q[t] = load_columns(job->kind, first + 4 * t, second + 4 * t);
        }
        UNROLL for (int s = 0; s < streams; s++) {
          const v128_t w0 = dot_weights(job->kind, constant, load(chunk + s * stream_bytes));
          const v128_t w1 = dot_weights(job->kind, constant, load(chunk + s * stream_bytes + 16));
          UNROLL for (int t = 0; t < tokens; t++) {
            if (streams == 1) q[t] = load_columns(job->kind, first + 4 * t, second + 4 * t);
            in_order(&q[t].first, &q[t].second);
            sum[s][t][0] = dot(job->kind, constant, w0, q[t], sum[s][t][0]);
            sum[s][t][1] = dot(job->kind, constant, w1, q[t], sum[s][t][1]);
            in_order(&sum[s][t][0], &sum[s][t][1]);
          }
        }
      }
    }
    in_memory(&partial);
    UNROLL for (int s = 0; s < streams; s++) {
      const v128_t w0 = load_bf16(w + s * stream_bytes), w1 = load_bf16(w + s * stream_bytes + 8);
      UNROLL for (int t = 0; t < tokens; t++) {
        const v128_t scale = load_splat(x + 4 * (tokens + t));
        float *total = partial + (s * tokens + t) * BLOCK;
        store(total, mul_add(wasm_f32x4_convert_i32x4(dot_end(sum[s][t][0])), mul(w0, scale), load(total)));
        store(total + 4, mul_add(wasm_f32x4_convert_i32x4(dot_end(sum[s][t][1])), mul(w1, scale), load(total + 4)));
      }
    }
  }
  if (to < job->groups) return;
  UNROLL for (int s = 0; s < streams; s++) UNROLL for (int t = 0; t < tokens; t++) UNROLL for (int h = 0; h < 2; h++) {
    put(out, (block + s * step) * BLOCK + 4 * h, token + t, load(partial + (s * tokens + t) * BLOCK + 4 * h));
  }
}

// Groups of a row block that stay in the first-level cache.
enum { PIECE = 24 };
#define KIND_RECORD_BYTES(kind) record_bytes(kind)
#include "schedule.h"

#ifdef RELAXED
PROJECT(project_q8_fused, FUSED)
PROJECT(project_q8_paired, PAIRED)
PROJECT(project_q8_signed, SIGNED)
PROJECT(project_q8_unsigned, UNSIGNED)
#else
PROJECT(project_q8_widened, WIDENED)
#endif
