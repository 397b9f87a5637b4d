import type { KernelSource } from "../pipelines.ts";

/** u ← u + Σ partial and xn = norm(u), a workgroup a row. `rows` says which row of u becomes each row of xn. */
export const FOLD: KernelSource = {
  label: "fold",
  groups: ["wrwru"],
  wgsl: /* wgsl */ `
struct Sizes { source: u32, quads: u32, parts: u32, stride: u32, norm: u32, dim: f32, eps: f32, partial: u32 }
@group(0) @binding(0) var<storage, read_write> stream: array<vec4f>; // u (tokens, dim); from P.partial on: (parts, stride)
@group(0) @binding(1) var<storage, read> V: array<f32>;
@group(0) @binding(2) var<storage, read_write> xn: array<vec4f>; // (rows, dim)
@group(0) @binding(3) var<storage, read> rows: array<u32>;
@group(0) @binding(4) var<uniform> P: Sizes;
var<workgroup> red: array<f32, 256>;
var<workgroup> tree: array<f32, 16>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let row = rows[wid.x] * P.quads;
  var ss = 0.0;
  for (var v = lid; v < P.quads; v += 256u) {
    var t = stream[P.source + row + v];
    let at = P.partial + row + v;
    var p = 0u;
    // Eight loads on their way at once: decode leaves dozens of parts, and has this one workgroup.
    for (; p + 8u <= P.parts; p += 8u) {
      let i = p * P.stride + at;
      let s = P.stride;
      t += ((stream[i] + stream[i + s]) + (stream[i + 2u * s] + stream[i + 3u * s]))
        + ((stream[i + 4u * s] + stream[i + 5u * s]) + (stream[i + 6u * s] + stream[i + 7u * s]));
    }
    for (; p < P.parts; p++) { t += stream[p * P.stride + at]; }
    stream[P.source + row + v] = t;
    ss += dot(t, t);
  }
  red[lid] = ss;
  workgroupBarrier();
  if (lid < 16u) {
    var s = 0.0;
    for (var i = 0u; i < 16u; i++) { s += red[lid * 16u + i]; }
    tree[lid] = s;
  }
  workgroupBarrier();
  var s = 0.0;
  for (var i = 0u; i < 16u; i++) { s += tree[i]; }
  let scale = inverseSqrt(s / P.dim + P.eps);
  for (var v = lid; v < P.quads; v += 256u) {
    let w = P.norm + v * 4u;
    xn[wid.x * P.quads + v] = stream[P.source + row + v] * vec4f(V[w], V[w + 1u], V[w + 2u], V[w + 3u]) * scale;
  }
}
`,
};
