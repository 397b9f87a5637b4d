import type { KernelSource } from "../pipelines.ts";
import { CANDIDATE } from "./candidate.ts";
import { LOGIT_ROWS } from "./logits.ts";

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

/** What kernels that choose a token bind, and how they find the most probable one and leave the token that they chose. */
export const CHOICE = /* wgsl */ `
${CANDIDATE}
struct Sizes { vocab: u32, unit: f32 }
@group(0) @binding(0) var<storage, read> logits: array<vec4f>; // (vocab)
@group(0) @binding(1) var<storage, read> bests: array<Candidate>; // (vocab / ${LOGIT_ROWS})
@group(0) @binding(2) var<storage, read_write> control: array<u32>;
@group(0) @binding(3) var<uniform> P: Sizes;
var<workgroup> best: array<Candidate, 256>;

// Into best[0].
fn find_best(lid: u32) {
  let groups = (P.vocab + ${LOGIT_ROWS - 1}u) / ${LOGIT_ROWS}u;
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
  workgroupBarrier();
  if (lid < 16u) {
    for (var i = 1u; i < 16u; i++) { mine = better_of(best[lid + 16u * i], mine); }
    best[lid] = mine;
  }
  workgroupBarrier();
  if (lid == 0u) {
    for (var i = 1u; i < 16u; i++) { mine = better_of(best[i], mine); }
    best[0] = mine;
  }
}

fn leave(token: u32) {
  let low = control[${CONTROL.positionLow}];
  control[${CONTROL.token}] = token;
  control[${CONTROL.positionLow}] = low + 1u;
  if (low == 0xffffffffu) { control[${CONTROL.positionHigh}] += 1u; }
}
`;

/** Chooses the most probable token, of equals the lowest id. */
export const CHOOSE: KernelSource = {
  label: "choose",
  groups: ["rrwu"],
  wgsl: /* wgsl */ `
${CHOICE}
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lid: u32) {
  find_best(lid);
  if (lid == 0u) { leave(best[0].id); }
}
`,
};
