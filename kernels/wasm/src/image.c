#include "rows.h"

// What image models do between their matrices. A stream is (height · width, stride): a position a row, rows of the image after one another.

INLINE void copy(float *to, const float *from, int count) {
  int i = 0;
  for (; i + 4 <= count; i += 4) store(to + i, load(from + i));
  ROLLED for (; i < count; i++) to[i] = from[i];
}

INLINE void clear(float *to, int count) {
  ROLLED for (int i = 0; i < count; i++) to[i] = 0.f;
}

// The patches of positions first … first + count − 1 of what a convolution gives: out (count, kernel · kernel · channels), taps row by row,
// or column by column when `transposed`; zeros outside the image. Pixels without padding are copied a row of the patch at a time.
EXPORT(patches)
void patches(const float *u, int stride, int height, int width, int channels, int kernel, int step, int padding, int transposed, int first,
             int count, int out_width, float *out) {
  const int runs = !transposed && stride == channels;
  for (int p = first; p < first + count; p++) {
    const int top = p / out_width * step - padding, left = p % out_width * step - padding;
    const int whole = runs && left >= 0 && left + kernel <= width;
    for (int a = 0; a < kernel; a++) {
      if (whole && top + a >= 0 && top + a < height) {
        copy(out, u + ((top + a) * width + left) * stride, kernel * channels);
        out += kernel * channels;
        continue;
      }
      for (int b = 0; b < kernel; b++, out += channels) {
        const int row = top + (transposed ? b : a), column = left + (transposed ? a : b);
        if (row >= 0 && row < height && column >= 0 && column < width) copy(out, u + (row * width + column) * stride, channels);
        else clear(out, channels);
      }
    }
  }
}

// y = the mean of all rows, `dim` values.
EXPORT(mean_rows) void mean_rows(const float *u, int stride, int rows, int dim, float *y) {
  const v128_t scale = splat(1.f / (float)rows);
  for (int i = 0; i < dim; i += CHANNELS) {
    Quad sum = splat_quad(0.f);
    for (int r = 0; r < rows; r++) {
      const Quad v = load_some(u + r * stride + i, dim - i);
      EACH(j) sum.v[j] = add(sum.v[j], v.v[j]);
    }
    EACH(j) sum.v[j] = mul(sum.v[j], scale);
    store_some(y + i, dim - i, sum);
  }
}
