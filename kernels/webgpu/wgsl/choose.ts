import type { KernelSource } from "../pipelines.ts";

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

/** What the control record's token is when a logit is not finite. */
export const NOT_FINITE = 0xffffffff;

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

/**
 * Chooses the next token as the engine's sampler does: temperature, top_k, top_p, min_p, then the token where the cumulative probability
 * exceeds the draw. The best top_k come out one by one: each thread knows the best of its tokens (every 256th four), and the tokens of
 * whoever had the best of all are looked through again for the next.
 */
export const CHOOSE: KernelSource = {
  label: "choose",
  groups: ["rwu"],
  wgsl: /* wgsl */ `
@group(0) @binding(0) var<storage, read> logits: array<vec4f>; // (vocab), whole fours
@group(0) @binding(1) var<storage, read_write> control: array<u32>;
@group(0) @binding(2) var<uniform> P: vec4u; // vocab
${PHILOX}
struct Candidate { value: f32, id: u32 }
var<workgroup> best: array<Candidate, 256>;
var<workgroup> again: array<Candidate, 256>;
var<workgroup> tree: array<Candidate, 16>;
var<workgroup> list: array<Candidate, ${MOST_TOP_K}>;
var<workgroup> count: u32;
var<workgroup> broken: atomic<u32>;

fn better(a: Candidate, b: Candidate) -> bool { return a.value > b.value || (a.value == b.value && a.id < b.id); }

fn best_of(l: vec4f, first: u32, vocab: u32, before: Candidate) -> Candidate {
  var b = before;
  for (var j = 0u; j < 4u; j++) {
    let c = Candidate(l[j], first + j);
    if (c.id >= vocab) { break; }
    if ((bitcast<u32>(c.value) & 0x7f800000u) == 0x7f800000u) { atomicOr(&broken, 1u); }
    if (better(c, b)) { b = c; }
  }
  return b;
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32) {
  let none = Candidate(-3.4028234e38, 0xffffffffu);
  let vocab = P.x;
  var mine = none;
  let fours = (vocab + 3u) / 4u;
  for (var i = lid; i < fours; i += 1024u) {
    // Four loads on their way at once: one workgroup alone waits for memory most of the time.
    let at = vec4u(i, i + 256u, i + 512u, i + 768u);
    let l = array<vec4f, 4>(logits[at.x], logits[min(at.y, fours - 1u)], logits[min(at.z, fours - 1u)], logits[min(at.w, fours - 1u)]);
    for (var j = 0u; j < 4u; j++) {
      if (at[j] < fours) { mine = best_of(l[j], at[j] * 4u, vocab, mine); }
    }
  }
  best[lid] = mine;
  if (lid == 0u) { count = select(clamp(control[${CONTROL.topK}], 1u, min(vocab, ${MOST_TOP_K}u)), 1u, control[${CONTROL.scale}] == 0u); }
  let k = workgroupUniformLoad(&count);
  for (var pick = 0u; pick < k; pick++) {
    if (lid < 16u) {
      var b = best[lid * 16u];
      for (var i = 1u; i < 16u; i++) { if (better(best[lid * 16u + i], b)) { b = best[lid * 16u + i]; } }
      tree[lid] = b;
    }
    workgroupBarrier();
    if (lid == 0u) {
      var b = tree[0];
      for (var i = 1u; i < 16u; i++) { if (better(tree[i], b)) { b = tree[i]; } }
      list[pick] = b;
    }
    workgroupBarrier();
    if (pick + 1u == k) { break; }
    let last = list[pick];
    let owner = (last.id >> 2u) & 255u;
    var next = none;
    for (var i = owner + lid * 256u; i < fours; i += 65536u) {
      let l = logits[i];
      for (var j = 0u; j < 4u; j++) {
        let c = Candidate(l[j], i * 4u + j);
        if (c.id < vocab && better(last, c) && better(c, next)) { next = c; }
      }
    }
    again[lid] = next;
    workgroupBarrier();
    if (lid < 16u) {
      var b = again[lid * 16u];
      for (var i = 1u; i < 16u; i++) { if (better(again[lid * 16u + i], b)) { b = again[lid * 16u + i]; } }
      tree[lid] = b;
    }
    workgroupBarrier();
    if (lid == 0u) {
      var b = tree[0];
      for (var i = 1u; i < 16u; i++) { if (better(tree[i], b)) { b = tree[i]; } }
      best[owner] = b;
    }
    workgroupBarrier();
  }
  if (lid != 0u) { return; }

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
  control[${CONTROL.token}] = select(list[0].id, ${NOT_FINITE}u, atomicLoad(&broken) != 0u);
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
