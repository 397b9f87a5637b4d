#include "dots_q4.h"
#include "output.h"

// y = W x + b for a q4 matrix in the tile layout of weights/layout.ts: tiles of 8 rows × 32 columns, 8 bf16 scales then 4 pairs of chunks,
// each 8 rows × 4 bytes with a column of the first chunk in the low nibble and one of the second in the high nibble. Read and summed in
// the order of projection_q8.c.

enum { SCALE_BYTES = 2 * BLOCK, PAIR_BYTES = 4 * BLOCK, TILE_BYTES = SCALE_BYTES + BLOCK * GROUP / 2 };

typedef struct {
  int kind; // of dot
  const uint8_t *w;
  int rows, groups;
  const uint8_t *records;
} Job;

// A pair of chunks' 4 rows × 8 columns, 16 bytes, and a token's 8 columns in every lane: the `first` chunk's, then the `second`'s.
#ifdef RELAXED
enum { CHUNK_BYTES_A_TOKEN = 4, PAIRS_AT_ONCE = 4 };
typedef struct {
  v128_t low, high;
} Pair;
typedef struct {
  v128_t first, second;
} Columns;
INLINE v128_t nibble_mask(void) { return held(wasm_i8x16_splat(15)); }
INLINE Pair open_pair(v128_t nibble, v128_t packed) {
  Pair w = {wasm_v128_and(packed, nibble), wasm_v128_and(wasm_u16x8_shr(packed, 4), nibble)};
  in_order(&w.low, &w.high);
  return w;
}
INLINE Columns load_columns(const uint8_t *first, const uint8_t *second, int tokens) {
  Columns q = {load_splat(first), load_splat(second)};
  in_order(&q.first, &q.second);
  return (void)tokens, q;
}
INLINE v128_t add_pair(int kind, v128_t nibble, Pair w, Columns q, v128_t sum) {
  return (void)nibble, q4_dot(kind, w.high, q.second, q4_dot(kind, w.low, q.first, sum));
}
#else
enum { CHUNK_BYTES_A_TOKEN = 8, PAIRS_AT_ONCE = 1 };
typedef v128_t Pair;
typedef struct {
  v128_t first[2], second[2];
} Columns;
INLINE v128_t nibble_mask(void) { return held(wasm_i16x8_splat(15)); }
INLINE Pair open_pair(v128_t nibble, v128_t packed) { return (void)nibble, packed; }
INLINE Columns load_columns(const uint8_t *first, const uint8_t *second, int tokens) {
  return (Columns){{load_splat(first), load_splat(first + 4 * tokens)}, {load_splat(second), load_splat(second + 4 * tokens)}};
}
INLINE v128_t add_pair(int kind, v128_t nibble, Pair w, Columns q, v128_t sum) {
  (void)kind;
  sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_v128_and(w, nibble), q.first[0]));
  sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_v128_and(wasm_u16x8_shr(w, 8), nibble), q.first[1]));
  sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_v128_and(wasm_u16x8_shr(w, 4), nibble), q.second[0]));
  return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_u16x8_shr(w, 12), q.second[1]));
}
INLINE v128_t q4_constant(void) { return wasm_i32x4_splat(0); }
INLINE v128_t q4_begin(int kind, v128_t start) { return (void)kind, start; }
INLINE v128_t q4_end(int kind, v128_t constant, v128_t start, v128_t sum) { return (void)kind, (void)constant, (void)start, sum; }
#endif

// Groups `from` to `to` of a register tile: `streams` row blocks, `step` blocks apart, times `tokens` tokens; streams · tokens ≤ 4.
// The sums over groups lie in `partial` (streams, tokens, 8): with those over columns they are more than there are registers.
INLINE void multiply(int streams, int tokens, const Job *job, int block, int step, const uint8_t *x, int from, int to, float *partial,
                     int token, const Output *out) {
  const v128_t constant = q4_constant(), nibble = nibble_mask();
  const int stream_bytes = step * job->groups * TILE_BYTES;
  const uint8_t *w = job->w + (block * job->groups + from) * TILE_BYTES;
  if (from == 0) {
    UNROLL for (int i = 0; i < 2 * streams * tokens; i++) store(partial + 4 * i, splat(0.f));
  }
  x += from * Q4_RECORD_BYTES * tokens;
  ROLLED for (int g = from; g < to; g++, w += TILE_BYTES, x += Q4_RECORD_BYTES * tokens) {
    v128_t sum[4][4][2];
    UNROLL for (int t = 0; t < tokens; t++) {
      const v128_t start = q4_begin(job->kind, load_splat(x + 4 * t));
      UNROLL for (int s = 0; s < streams; s++) sum[s][t][0] = sum[s][t][1] = start;
    }
    const int half = CHUNK_BYTES_A_TOKEN * tokens;
    const uint8_t *pair = w + SCALE_BYTES, *first = x + 8 * tokens, *second = first + half;
    const int at_once = streams == 1 || tokens == 1 ? PAIRS_AT_ONCE : 1;
    ROLLED for (int k = 0; k < CHUNKS / 2; k += at_once) {
      UNROLL for (int j = 0; j < at_once; j++, pair += PAIR_BYTES, first += 2 * half, second += 2 * half) {
        opaque(&pair, &first, &second);
        Columns q[4];
        if (streams > 1) {
          UNROLL for (int t = 0; t < tokens; t++) q[t] = load_columns(first + 4 * t, second + 4 * t, tokens);
        }
        UNROLL for (int s = 0; s < streams; s++) {
          const Pair w0 = open_pair(nibble, load(pair + s * stream_bytes)), w1 = open_pair(nibble, load(pair + s * stream_bytes + 16));
          UNROLL for (int t = 0; t < tokens; t++) {
            if (streams == 1) q[t] = load_columns(first + 4 * t, second + 4 * t, tokens);
            sum[s][t][0] = add_pair(job->kind, nibble, w0, q[t], sum[s][t][0]);
            sum[s][t][1] = add_pair(job->kind, nibble, w1, q[t], sum[s][t][1]);
            in_order(&sum[s][t][0], &sum[s][t][1]);
          }
        }
      }
    }
    in_memory(&partial);
    UNROLL for (int s = 0; s < streams; s++) {
      const v128_t w0 = load_bf16(w + s * stream_bytes), w1 = load_bf16(w + s * stream_bytes + 8);
      UNROLL for (int t = 0; t < tokens; t++) {
        const v128_t start = load_splat(x + 4 * t), scale = load_splat(x + 4 * (tokens + t));
        const v128_t s0 = q4_end(job->kind, constant, start, sum[s][t][0]), s1 = q4_end(job->kind, constant, start, sum[s][t][1]);
        float *total = partial + (s * tokens + t) * BLOCK;
        store(total, mul_add(wasm_f32x4_convert_i32x4(s0), mul(w0, scale), load(total)));
        store(total + 4, mul_add(wasm_f32x4_convert_i32x4(s1), mul(w1, scale), load(total + 4)));
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
#define KIND_RECORD_BYTES(kind) Q4_RECORD_BYTES
#include "schedule.h"

#ifdef RELAXED
PROJECT(project_q4_fused, FUSED)
PROJECT(project_q4_paired, PAIRED)
#else
PROJECT(project_q4_widened, WIDENED)
#endif
