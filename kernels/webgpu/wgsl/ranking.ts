import { LOGIT_ROWS } from "./logits.ts";

/** Buckets that the tokens within REACH nats of the best fall into, and how many a nat has. */
const BUCKETS = 1024;
const PER_NAT = 16;
/** Parts that an interval of a bucket is cut into. */
const PARTS = 256;

/**
 * What a token's weight may lack of its bucket's most, 1 - e^(-1/16), is summed over all tokens in whole numbers of 1 / unit, which no
 * sum of 32 bits overflows.
 */
export function weightUnit(vocab: number): number {
  const most = 1 - Math.exp(-1 / PER_NAT);
  return 2 ** Math.min(24, Math.floor(31.9 - Math.log2(most * vocab)));
}

/**
 * The tokens of one distribution in order of probability, ties by id, without sorting them, in one workgroup of 256: as the engine's
 * ranking.ts. Tokens fall into buckets of 1/16 nat below the best, whose sums are exact whole numbers, so that no order of the threads
 * shows. In the bucket with a boundary in it an interval around the boundary, of nats, then among equals of logits, of equal ones of ids, is
 * cut into 256 parts, and one of these again, until one token is left. Nats come first since logits about 0 have most of their bits there.
 */
export const RANKING = /* wgsl */ `
const BUCKETS = ${BUCKETS}u;
const PER_NAT = ${PER_NAT}.0;
const REACH = ${BUCKETS / PER_NAT}.0;
// What a boundary is: the token that makes the count so many; at least, or more than, so much of the probability kept.
const COUNT = 0u;
const HOLDS = 1u;
const EXCEEDS = 2u;

struct Scale { best: Candidate, factor: f32 }
struct Sum { count: u32, mass: f32 }
// The last token kept: its bucket, the place of its logit in order, its id; most nats below the best; what its bucket keeps. In a bucket
// the mass is in proportion to the weight with which the bucket begins.
struct End { bucket: u32, key: u32, id: u32, reach: f32, kept: Sum }
// Which of 1,024 sums has the boundary in it, itself, what is before it, and all together.
struct Hit { at: u32, own: Sum, before: Sum, total: Sum }
// Tokens of a bucket with a place from first to last: by nats; of those with the nats by logit; of those with the logit's key by id.
const BY_NATS = 0u;
const BY_LOGIT = 1u;
const BY_ID = 2u;
struct Interval { bucket: u32, kind: u32, nats: u32, key: u32, first: u32, last: u32 }

var<workgroup> tokens: array<atomic<u32>, ${BUCKETS}>; // by bucket
var<workgroup> lack: array<atomic<u32>, ${BUCKETS}>;
var<workgroup> part_tokens: array<atomic<u32>, ${PARTS}>;
var<workgroup> part_lack: array<atomic<u32>, ${PARTS}>;
var<workgroup> part_id: array<atomic<u32>, ${PARTS}>; // the largest
var<workgroup> sums: array<Sum, 256>;
var<workgroup> found: atomic<u32>;
var<workgroup> last_one: atomic<u32>;
var<workgroup> hit: Hit;

// The place of a logit in order, the best having the lowest.
fn key_of(logit: f32) -> u32 {
  let bits = bitcast<u32>(select(logit, 0.0, logit == 0.0));
  return ~(bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u));
}

fn nats(s: Scale, logit: f32) -> f32 { return (s.best.value - logit) * s.factor; }

// Of a token so many nats below the best: what its weight lacks of its bucket's most, 1 - e^-x by its series.
fn lack_of(distance: f32, bucket: u32) -> u32 {
  let x = (distance * PER_NAT - f32(bucket)) / PER_NAT;
  return u32(x * (1.0 - x * (0.5 - x * (0.16666667 - x * (0.041666668 - x * 0.008333334)))) * P.unit + 0.5);
}

// The weight with which a bucket begins.
fn weight_of(bucket: u32) -> f32 { return exp(-f32(bucket) / PER_NAT); }

// Where in its bucket it lies, which f32 tells exactly.
const PLACES = 0x1000000u;
fn place_of(distance: f32, bucket: u32) -> u32 { return u32((distance * PER_NAT - f32(bucket)) * f32(PLACES)); }

fn sum_of(count: u32, lacking: u32) -> Sum { return Sum(count, f32(count) - f32(lacking) / P.unit); }

fn plus(a: Sum, b: Sum) -> Sum { return Sum(a.count + b.count, a.mass + b.mass); }

// All tokens into buckets.
fn fill(lid: u32, s: Scale) {
  for (var i = lid; 4u * i < P.vocab; i += 1024u) {
    let last = (P.vocab - 1u) / 4u;
    let four = array<vec4f, 4>(logits[i], logits[min(i + 256u, last)], logits[min(i + 512u, last)], logits[min(i + 768u, last)]);
    for (var j = 0u; j < 4u; j++) {
      for (var c = 0u; c < 4u; c++) {
        let distance = nats(s, four[j][c]);
        if (4u * (i + 256u * j) + c >= P.vocab || distance >= REACH) { continue; }
        let bucket = u32(distance * PER_NAT);
        atomicAdd(&tokens[bucket], 1u);
        atomicAdd(&lack[bucket], lack_of(distance, bucket));
      }
    }
  }
  workgroupBarrier();
}

// Each thread brings the next four of 1,024 sums; where none reaches the goal the last that has tokens has the boundary in it.
fn cross_goal(lid: u32, own: array<Sum, 4>, rule: u32, goal: f32, share: bool) -> Hit {
  var four = own;
  var upto = plus(plus(four[0], four[1]), plus(four[2], four[3]));
  for (var s = 1u; s < 256u; s <<= 1u) {
    sums[lid] = upto;
    workgroupBarrier();
    if (lid >= s) { upto = plus(sums[lid - s], upto); }
    workgroupBarrier();
  }
  sums[lid] = upto;
  if (lid == 0u) {
    atomicStore(&found, 0xffffffffu);
    atomicStore(&last_one, 0u);
  }
  workgroupBarrier();
  let total = sums[255];
  let mass = select(goal, goal * total.mass, share);
  var running = Sum(0u, 0.0);
  if (lid > 0u) { running = sums[lid - 1u]; }
  let begin = running;
  for (var j = 0u; j < 4u; j++) {
    running = plus(running, four[j]);
    if (four[j].count == 0u) { continue; }
    atomicMax(&last_one, 4u * lid + j);
    let reached = select(select(running.mass >= mass, running.mass > mass, rule == EXCEEDS), f32(running.count) >= goal, rule == COUNT);
    if (reached) { atomicMin(&found, 4u * lid + j); }
  }
  workgroupBarrier();
  let at = min(atomicLoad(&found), atomicLoad(&last_one));
  if (at / 4u == lid) {
    var before = begin;
    for (var j = 0u; j < at % 4u; j++) { before = plus(before, four[j]); }
    hit = Hit(at, four[at % 4u], before, total);
  }
  return workgroupUniformLoad(&hit);
}

// Sums of an interval's parts of 2^shift places.
fn cut_parts(lid: u32, s: Scale, end: End, view: Interval, shift: u32) -> array<Sum, 4> {
  atomicStore(&part_tokens[lid], 0u);
  atomicStore(&part_lack[lid], 0u);
  atomicStore(&part_id[lid], 0u);
  workgroupBarrier();
  for (var group = lid; group * ${LOGIT_ROWS}u < P.vocab; group += 256u) {
    // All of its logits lie beyond.
    let least = min(nats(s, bests[group].value), REACH);
    if (u32(least * PER_NAT) > view.bucket) { continue; }
    if (view.kind == BY_NATS && u32(least * PER_NAT) == view.bucket && place_of(least, view.bucket) > view.last) { continue; }
    for (var i = group * ${LOGIT_ROWS / 4}u; i < (group + 1u) * ${LOGIT_ROWS / 4}u; i++) {
      let four = logits[i];
      for (var c = 0u; c < 4u; c++) {
        let id = 4u * i + c;
        let distance = nats(s, four[c]);
        if (id >= P.vocab || distance >= REACH || distance > end.reach || u32(distance * PER_NAT) != view.bucket) { continue; }
        let key = key_of(four[c]);
        if (view.bucket == end.bucket && (key > end.key || (key == end.key && id > end.id))) { continue; }
        let within_bucket = place_of(distance, view.bucket);
        if (view.kind != BY_NATS && within_bucket != view.nats) { continue; }
        if (view.kind == BY_ID && key != view.key) { continue; }
        let place = select(select(id, key, view.kind == BY_LOGIT), within_bucket, view.kind == BY_NATS);
        if (place < view.first || place > view.last) { continue; }
        let part = (place - view.first) >> shift;
        atomicAdd(&part_tokens[part], 1u);
        atomicAdd(&part_lack[part], lack_of(distance, view.bucket));
        atomicMax(&part_id[part], id);
      }
    }
  }
  workgroupBarrier();
  var own = array<Sum, 4>();
  for (var j = 0u; j < 4u && lid < ${PARTS / 4}u; j++) {
    own[j] = sum_of(atomicLoad(&part_tokens[4u * lid + j]), atomicLoad(&part_lack[4u * lid + j]));
  }
  return own;
}

fn whole(bucket: u32) -> Interval { return Interval(bucket, BY_NATS, 0u, 0u, 0u, PLACES - 1u); }

// So that an interval is cut into 256 parts at most.
fn shift_of(view: Interval) -> u32 { return max(8u, 32u - countLeadingZeros(view.last - view.first)) - 8u; }
`;
