#include "math.h"

// Causal attention of one sequence, head by head (Vaswani et al. 2017):
//   y_t = Σ_j p_j v_j,  p = softmax(q_t k_jᵀ / √width) over the positions j up to t's own
// qkv (tokens, stride): q, k, v, each (heads, width). Of all positions so far the state holds
//   keys    (heads, capacity / 16 rounded up, width, 16): lanes are positions, so that scores need no horizontal sums
//   values  (heads, capacity, lanes), lanes = width rounded up to 4, the rest zero
// What a token gets depends on the positions up to its own and nothing else, bit for bit: sums go up in j, in four runs, and what lies
// behind in the last block is masked, whatever it holds.

static const float NEVER = -1e30f;

typedef struct {
  int width, lanes, capacity;
  float *keys, *values; // of one head
} Head;

INLINE void remember(const Head *head, int position, const float *k, const float *v) {
  float *key = head->keys + position / CHANNELS * head->width * CHANNELS + position % CHANNELS;
  float *value = head->values + position * head->lanes;
  for (int c = 0; c < head->width; c++) {
    key[c * CHANNELS] = k[c];
    value[c] = v[c];
  }
}

// All ones in the lanes of a block whose positions are at most `last`.
INLINE Quad up_to(int last, int first) {
  const v128_t lane = wasm_i32x4_make(0, 1, 2, 3);
  Quad mask;
  EACH(i) mask.v[i] = wasm_i32x4_le(wasm_i32x4_add(lane, wasm_i32x4_splat(first + 4 * i)), wasm_i32x4_splat(last));
  return mask;
}

// scores[j] = q k_jᵀ, up to the end of the block of `last`; returns the largest that counts.
INLINE float score(const Head *head, const float *q, int last, float *scores) {
  Quad most = splat_quad(NEVER);
  const float *keys = head->keys;
  for (int first = 0; first <= last; first += CHANNELS) {
    Quad s = splat_quad(0.f);
    ROLLED for (int c = 0; c < head->width; c++, keys += CHANNELS) {
      const v128_t qc = load_splat(q + c);
      EACH(i) s.v[i] = mul_add(qc, load(keys + 4 * i), s.v[i]);
    }
    if (last - first < CHANNELS - 1) {
      const Quad mask = up_to(last, first);
      EACH(i) s.v[i] = wasm_v128_bitselect(s.v[i], splat(NEVER), mask.v[i]);
    }
    EACH(i) most.v[i] = larger(most.v[i], s.v[i]);
    store_quad(scores + first, s);
  }
  v128_t m = larger(larger(most.v[0], most.v[1]), larger(most.v[2], most.v[3]));
  m = larger(m, wasm_i32x4_shuffle(m, m, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(larger(m, wasm_i32x4_shuffle(m, m, 1, 0, 3, 2)), 0);
}

// scores[j] ← e^(scale · (scores[j] − most)); returns their sum.
INLINE float weigh(const Exp2 *k, float scale, float most, int last, float *scores) {
  const v128_t factor = held(splat(scale * LOG2_E)), shift = held(splat(most));
  Quad sum = splat_quad(0.f);
  for (int first = 0; first <= last; first += CHANNELS) {
    Quad p = load_quad(scores + first);
    EACH(i) p.v[i] = mul(sub(p.v[i], shift), factor);
    p = exp2_quad(k, p);
    if (last - first < CHANNELS - 1) {
      const Quad mask = up_to(last, first);
      EACH(i) p.v[i] = wasm_v128_and(p.v[i], mask.v[i]);
    }
    EACH(i) sum.v[i] = add(sum.v[i], p.v[i]);
    store_quad(scores + first, p);
  }
  return sum_lanes(add(add(sum.v[0], sum.v[2]), add(sum.v[1], sum.v[3])));
}

// y = Σ_j p_j v_j / sum
INLINE void mix(const Head *head, const float *p, float sum, int last, float *y) {
  const v128_t scale = held(splat(1.f / sum));
  for (int c = 0; c < head->width; c += 4) {
    const float *v = head->values + c;
    Quad total = splat_quad(0.f);
    int j = 0;
    ROLLED for (; j + VECTORS <= last + 1; j += VECTORS, v += VECTORS * head->lanes) {
      EACH(i) total.v[i] = mul_add(load_splat(p + j + i), load(v + i * head->lanes), total.v[i]);
    }
    EACH(i) if (j + i <= last) total.v[i] = mul_add(load_splat(p + j + i), load(v + i * head->lanes), total.v[i]);
    const v128_t out = mul(add(add(total.v[0], total.v[2]), add(total.v[1], total.v[3])), scale);
    if (c + 4 <= head->width) {
      store(y + c, out);
    } else {
      float some[4];
      store(some, out);
      for (int i = 0; c + i < head->width; i++) y[c + i] = some[i];
    }
  }
}

// The tokens are at positions position, position + 1, … of their sequence. scores: room for capacity, rounded up to 16.
EXPORT(attention)
void attention(const float *qkv, int stride, int tokens, int heads, int width, int position, int capacity, float *keys, float *values,
               float *scores, float *y, int y_stride) {
  const Exp2 k = exp2_constants(-60.f);
  const int dim = heads * width, lanes = (width + 3) / 4 * 4, blocks = (capacity + CHANNELS - 1) / CHANNELS;
  const float scale = 1.f / __builtin_sqrtf((float)width);
  for (int h = 0; h < heads; h++) {
    const Head head = {width, lanes, capacity, keys + h * blocks * width * CHANNELS, values + h * capacity * lanes};
    const float *row = qkv + h * width;
    for (int t = 0; t < tokens; t++, row += stride) remember(&head, position + t, row + dim, row + 2 * dim);
    row = qkv + h * width;
    for (int t = 0; t < tokens; t++, row += stride) {
      const float most = score(&head, row, position + t, scores);
      const float sum = weigh(&k, scale, most, position + t, scores);
      mix(&head, scores, sum, position + t, y + t * y_stride + h * width);
    }
  }
}
