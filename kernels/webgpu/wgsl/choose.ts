import type { KernelSource } from "../pipelines.ts";
import { CANDIDATE, NOT_FINITE } from "./candidate.ts";
import { LOGIT_ROWS } from "./logits.ts";

/** Most tokens that top_k may keep for a choice on the GPU. */
export const MOST_TOP_K = 64;

/** u32 words of a state's control record; the kernel moves the position on, so that a decode can run ahead without the host. */
export const CONTROL = {
  token: 0,
  positionLow: 1,
  positionHigh: 2,
  seedLow: 3,
  seedHigh: 4,
  /** 1 / temperature, or 0 for the most probable token. */
  scale: 5,
  topK: 6,
  topP: 7,
  /** most nats below the best that min_p allows. */
  reach: 8,
  words: 16,
} as const;

/** Philox4x32-10's first word: the same numbers as the engine's, from the same counter and key. */
export const PHILOX = /* wgsl */ `
fn multiply_high(a: u32, b: u32) -> u32 {
  let a0 = a & 0xffffu; let a1 = a >> 16u; let b0 = b & 0xffffu; let b1 = b >> 16u;
  let middle = a1 * b0 + ((a0 * b0) >> 16u);
  let cross = a0 * b1 + (middle & 0xffffu);
  return a1 * b1 + (middle >> 16u) + (cross >> 16u);
}

fn philox(position: vec2u, seed: vec2u) -> u32 {
  var c = vec4u(position, 0u, 0u);
  var k = seed;
  for (var round = 0u; round < 10u; round++) {
    let high0 = multiply_high(0xd2511f53u, c.x);
    let high1 = multiply_high(0xcd9e8d57u, c.z);
    c = vec4u(high1 ^ c.y ^ k.x, 0xcd9e8d57u * c.z, high0 ^ c.w ^ k.y, 0xd2511f53u * c.x);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c.x;
}
`;

const bestOf16 = (array: string): string => `
fn best_of_${array}(first: u32) -> Candidate {
  var b = ${array}[first];
  for (var i = 1u; i < 16u; i++) { b = better_of(${array}[first + i], b); }
  return b;
}
`;

/**
 * Chooses the next token as the engine's sampler does: temperature, top_k, top_p, min_p, then the token where the cumulative probability
 * exceeds the draw. The best top_k come out one by one: each thread knows the best of its groups of logits (every 256th), and the groups
 * of whoever had the best of all are looked through again for the next.
 */
export const CHOOSE: KernelSource = {
  label: "choose",
  groups: ["rrwu"],
  wgsl: /* wgsl */ `
${CANDIDATE}
@group(0) @binding(0) var<storage, read> logits: array<f32>; // (vocab)
@group(0) @binding(1) var<storage, read> bests: array<Candidate>; // (vocab / ${LOGIT_ROWS})
@group(0) @binding(2) var<storage, read_write> control: array<u32>;
@group(0) @binding(3) var<uniform> P: vec4u; // vocab
${PHILOX}
var<workgroup> best: array<Candidate, 256>;
var<workgroup> again: array<Candidate, 256>;
var<workgroup> tree: array<Candidate, 16>;
var<workgroup> list: array<Candidate, ${MOST_TOP_K}>;
var<workgroup> count: u32;

${bestOf16("best")}${bestOf16("again")}
fn best_of_tree() -> Candidate {
  var b = tree[0];
  for (var i = 1u; i < 16u; i++) { b = better_of(tree[i], b); }
  return b;
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32) {
  let vocab = P.x;
  let groups = (vocab + ${LOGIT_ROWS - 1}u) / ${LOGIT_ROWS}u;
  var mine = NONE;
  for (var i = lid; i < groups; i += 1024u) {
    // Four loads on their way at once: one workgroup alone waits for memory most of the time.
    let at = vec4u(i, i + 256u, i + 512u, i + 768u);
    let b = array<Candidate, 4>(bests[i], bests[min(at.y, groups - 1u)], bests[min(at.z, groups - 1u)], bests[min(at.w, groups - 1u)]);
    for (var j = 0u; j < 4u; j++) {
      if (at[j] < groups) { mine = better_of(b[j], mine); }
    }
  }
  best[lid] = mine;
  if (lid == 0u) { count = select(clamp(control[${CONTROL.topK}], 1u, min(vocab, ${MOST_TOP_K}u)), 1u, control[${CONTROL.scale}] == 0u); }
  let k = workgroupUniformLoad(&count);
  for (var pick = 0u; pick < k; pick++) {
    if (lid < 16u) { tree[lid] = best_of_best(lid * 16u); }
    workgroupBarrier();
    if (lid == 0u) { list[pick] = best_of_tree(); }
    workgroupBarrier();
    if (pick + 1u == k) { break; }
    let last = list[pick];
    let owner = (last.id / ${LOGIT_ROWS}u) & 255u;
    var next = NONE;
    for (var i = lid; ; i += 256u) {
      let id = (owner + (i / ${LOGIT_ROWS}u) * 256u) * ${LOGIT_ROWS}u + i % ${LOGIT_ROWS}u;
      if (id >= vocab) { break; }
      let c = Candidate(logits[id], id);
      if (better(last, c)) { next = better_of(c, next); }
    }
    again[lid] = next;
    workgroupBarrier();
    if (lid < 16u) { tree[lid] = best_of_again(lid * 16u); }
    workgroupBarrier();
    if (lid == 0u) { best[owner] = best_of_tree(); }
    workgroupBarrier();
  }
  if (lid != 0u) { return; }
  // It came out first.
  let broken = list[0].id == ${NOT_FINITE}u;

  let scale = bitcast<f32>(control[${CONTROL.scale}]);
  let position = vec2u(control[${CONTROL.positionLow}], control[${CONTROL.positionHigh}]);
  var kept = k;
  if (control[${CONTROL.scale}] != 0u) {
    var total = 0.0;
    for (var i = 0u; i < kept; i++) { total += weight(i, scale); }
    let top_p = bitcast<f32>(control[${CONTROL.topP}]);
    if (top_p < 1.0) {
      var sum = 0.0;
      for (var i = 0u; i < kept; i++) {
        sum += weight(i, scale);
        if (sum >= top_p * total) { kept = i + 1u; }
      }
    }
    let reach = bitcast<f32>(control[${CONTROL.reach}]);
    for (var i = 1u; i < kept; i++) {
      if ((list[0].value - list[i].value) * scale > reach) { kept = i; }
    }
    total = 0.0;
    for (var i = 0u; i < kept; i++) { total += weight(i, scale); }
    let word = philox(position, vec2u(control[${CONTROL.seedLow}], control[${CONTROL.seedHigh}]));
    let goal = f32(word >> 8u) / 16777216.0 * total;
    var sum = 0.0;
    var chosen = kept - 1u;
    for (var i = 0u; i < kept; i++) {
      sum += weight(i, scale);
      if (goal < sum) { chosen = i; break; }
    }
    list[0] = list[chosen];
  }
  control[${CONTROL.token}] = select(list[0].id, ${NOT_FINITE}u, broken);
  control[${CONTROL.positionLow}] = position.x + 1u;
  control[${CONTROL.positionHigh}] = position.y + select(0u, 1u, position.x == 0xffffffffu);
}

// e^(−nats below the best); what is 64 nats below is never drawn.
fn weight(i: u32, scale: f32) -> f32 {
  let d = (list[0].value - list[i].value) * scale;
  return select(0.0, exp(-d), d < 64.0);
}
`,
};
