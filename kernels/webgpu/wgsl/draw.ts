import type { KernelSource } from "../pipelines.ts";
import { NOT_FINITE } from "./candidate.ts";
import { CHOICE, CONTROL } from "./choose.ts";
import { PHILOX } from "./philox.ts";
import { RANKING } from "./ranking.ts";

/**
 * Draws the next token as the engine's sampler does (worker/engine/sampling.ts): temperature, top_k, top_p, min_p, then the token where the
 * cumulative probability, in order of probability, exceeds the draw. The token is the engine's unless a boundary of top_p, min_p or of the
 * draw is nearer than rounding in f32, 1e-5 of the probability kept (of min_p 1e-5 nats).
 */
export const DRAW: KernelSource = {
  label: "draw",
  groups: ["rrwu"],
  wgsl: /* wgsl */ `
${CHOICE}
${PHILOX}
${RANKING}
// The first tokens in order, as many as the rule says of those up to the end given.
var<workgroup> ended: End;
fn search(lid: u32, s: Scale, end: End, rule: u32, goal: f32) -> End {
  var buckets = array<Sum, 4>();
  for (var j = 0u; j < 4u; j++) {
    let i = 4u * lid + j;
    if (i > end.bucket) { continue; }
    buckets[j] = end.kept;
    if (i < end.bucket) { buckets[j] = sum_of(atomicLoad(&tokens[i]), atomicLoad(&lack[i])); }
    buckets[j].mass *= weight_of(i);
  }
  let top = cross_goal(lid, buckets, rule, goal, rule != COUNT);
  var rest = goal - f32(top.before.count);
  if (rule != COUNT) { rest = (goal * top.total.mass - top.before.mass) / weight_of(top.at); }
  var view = whole(top.at);
  var before = Sum(0u, 0.0);
  var result = end;
  // At most three times by nats, four times by logit and four times by id.
  for (var level = 0u; level < 11u; level++) {
    let shift = shift_of(view);
    let part = cross_goal(lid, cut_parts(lid, s, end, view, shift), rule, rest, false);
    before = plus(before, part.before);
    if (part.own.count <= 1u) {
      if (lid == 0u) {
        // Where rounding left no token to find, the best.
        let id = select(s.best.id, atomicLoad(&part_id[part.at]), part.own.count == 1u);
        ended = End(top.at, key_of(logits[id / 4u][id % 4u]), id, end.reach, plus(before, part.own));
      }
      result = workgroupUniformLoad(&ended);
      break;
    }
    rest -= select(part.before.mass, f32(part.before.count), rule == COUNT);
    let first = view.first + (part.at << shift);
    if (shift > 0u) {
      view.last = first + min(view.last - first, (1u << shift) - 1u);
      view.first = first;
    } else if (view.kind == BY_NATS) {
      view = Interval(top.at, BY_LOGIT, first, 0u, 0u, 0xffffffffu);
    } else {
      view = Interval(top.at, BY_ID, view.nats, first, 0u, P.vocab - 1u);
    }
  }
  return result;
}

// Those of the tokens up to the end given that are at most so many nats below the best.
fn within(lid: u32, s: Scale, end: End, reach: f32) -> End {
  var near = end;
  near.bucket = min(end.bucket, u32(reach * PER_NAT));
  if (near.bucket < end.bucket) {
    near.key = 0xffffffffu;
    near.id = 0xffffffffu;
  }
  near.reach = reach;
  let view = whole(near.bucket);
  near.kept = cross_goal(lid, cut_parts(lid, s, near, view, shift_of(view)), COUNT, 0.0, false).total;
  return near;
}

struct Wanted { best: Candidate, scale: f32, top_k: u32, top_p: f32, reach: f32, uniform_number: f32 }
var<workgroup> wanted: Wanted;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32) {
  find_best(lid);
  if (lid == 0u) {
    let position = vec2u(control[${CONTROL.positionLow}], control[${CONTROL.positionHigh}]);
    let word = philox(position, vec2u(control[${CONTROL.seedLow}], control[${CONTROL.seedHigh}]));
    wanted = Wanted(
      best[0],
      bitcast<f32>(control[${CONTROL.scale}]),
      control[${CONTROL.topK}],
      bitcast<f32>(control[${CONTROL.topP}]),
      bitcast<f32>(control[${CONTROL.reach}]),
      f32(word >> 8u) / 16777216.0,
    );
  }
  let w = workgroupUniformLoad(&wanted);
  if (w.best.id == ${NOT_FINITE}u) {
    if (lid == 0u) { leave(w.best.id); }
    return;
  }
  let scale = Scale(w.best, w.scale);
  fill(lid, scale);
  var end = End(BUCKETS, 0u, 0u, REACH, Sum(0u, 0.0));
  if (w.top_k > 0u && w.top_k < P.vocab) { end = search(lid, scale, end, COUNT, f32(w.top_k)); }
  if (w.top_p < 1.0) { end = search(lid, scale, end, HOLDS, w.top_p); }
  if (w.reach < REACH) { end = within(lid, scale, end, w.reach); }
  end = search(lid, scale, end, EXCEEDS, w.uniform_number);
  if (lid == 0u) { leave(end.id); }
}
`,
};
