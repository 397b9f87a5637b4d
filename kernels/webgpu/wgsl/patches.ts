import type { KernelSource } from "../pipelines.ts";
import { CHANNELS } from "./elementwise.ts";

/**
 * What a square kernel sees of an image, a row a place of it: by row of the kernel, then column, then channel; or, for patch merging, by
 * column, then row, then channel. Zeros lie around the image. Strides say how the image lies: channels last, or first as pixels come.
 */
export const PATCHES: KernelSource = {
  label: "patches",
  groups: ["rwu"],
  wgsl: /* wgsl */ `
struct Sizes {
  height: u32, width: u32, channels: u32, row_stride: u32, column_stride: u32, channel_stride: u32,
  o_width: u32, o_stride: u32, kernel: u32, stride: u32, padding: u32, by_column: u32,
}
@group(0) @binding(0) var<storage, read> image: array<f32>;
@group(0) @binding(1) var<storage, read_write> O: array<f32>; // (places, kernel · kernel · channels)
@group(0) @binding(2) var<uniform> P: Sizes;
@compute @workgroup_size(${CHANNELS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= P.kernel * P.kernel * P.channels) { return; }
  let tap = id.x / P.channels;
  let channel = id.x % P.channels;
  let down = select(tap / P.kernel, tap % P.kernel, P.by_column == 1u);
  let right = select(tap % P.kernel, tap / P.kernel, P.by_column == 1u);
  // Before the first row or column these wrap around to more than any height or width.
  let row = id.z * P.stride + down - P.padding;
  let column = id.y * P.stride + right - P.padding;
  var value = 0.0;
  if (row < P.height && column < P.width) {
    value = image[row * P.row_stride + column * P.column_stride + channel * P.channel_stride];
  }
  O[(id.z * P.o_width + id.y) * P.o_stride + id.x] = value;
}
`,
};
