/** What a token's id is when a logit is not finite. */
export const NOT_FINITE = 0xffffffff;

/** A token that may be chosen. The better one has the larger logit, of equals the lower id; a logit that is not finite beats all. */
export const CANDIDATE = /* wgsl */ `
struct Candidate { value: f32, id: u32 }
const LEAST = -3.4028234e38;
const NONE = Candidate(LEAST, ${NOT_FINITE - 1}u);
const BROKEN = Candidate(3.4028234e38, ${NOT_FINITE}u);

fn candidate(logit: f32, id: u32) -> Candidate {
  if ((bitcast<u32>(logit) & 0x7f800000u) == 0x7f800000u) { return BROKEN; }
  return Candidate(logit, id);
}

fn better(a: Candidate, b: Candidate) -> bool {
  return b.id != ${NOT_FINITE}u && (a.id == ${NOT_FINITE}u || a.value > b.value || (a.value == b.value && a.id < b.id));
}

fn better_of(a: Candidate, b: Candidate) -> Candidate {
  if (better(a, b)) { return a; }
  return b;
}
`;
