#include "rows.h"

// What image models do between their matrices. A stream is (height · width, stride): a position a row, rows of the image after one another.

// The patches of positions first … first + count − 1 of what a convolution gives: out (count, kernel · kernel · channels), taps row by row,
// or column by column when `transposed`; zeros outside the image.
EXPORT(patches)
void patches(const float *u, int stride, int height, int width, int channels, int kernel, int step, int padding, int transposed, int first,
             int count, int out_width, float *out) {
  for (int p = first; p < first + count; p++) {
    const int top = p / out_width * step - padding, left = p % out_width * step - padding;
    for (int tap = 0; tap < kernel * kernel; tap++, out += channels) {
      const int row = top + (transposed ? tap % kernel : tap / kernel), column = left + (transposed ? tap / kernel : tap % kernel);
      const int inside = row >= 0 && row < height && column >= 0 && column < width;
      const float *from = u + (inside ? row * width + column : 0) * stride;
      int c = 0;
      if (inside) {
        for (; c + 4 <= channels; c += 4) store(out + c, load(from + c));
        for (; c < channels; c++) out[c] = from[c];
      } else {
        for (; c < channels; c++) out[c] = 0.f;
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
