/** Sizes of the long checks: `npm run test:full` runs them whole, `npm test` at about a tenth. */
const full = process.env.EFFORT === "full";

export const effort = {
  /** tokens of the run that memory must not grow over. */
  soakTokens: full ? 10_000 : 1_000,
  /** random inputs of each fuzz test. */
  fuzzCases: full ? 2_000 : 200,
  /** random JSON schemas that each model writes to. */
  schemas: full ? 500 : 50,
  /** how long every endpoint is sent anything. */
  fuzzSeconds: full ? 120 : 12,
  /** clients that stream at the same time, and for how long. */
  soakClients: 32,
  soakSeconds: full ? 60 : 6,
  /** models loaded on WebGPU and disposed of, one after the other. */
  gpuRounds: full ? 20 : 2,
};
