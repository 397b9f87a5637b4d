/** What cloudflare:workers gives the tests. */
declare namespace Cloudflare {
  interface Env
    extends Required<
      Pick<
        import("../../../worker/edge/env.ts").Env,
        | "ASSETS"
        | "SESSIONS"
        | "SESSION_INDEXES"
        | "RESPONSES"
        | "PREFIXES"
        | "PREFIX_LEDGERS"
        | "RATE_LIMITER"
        | "WEIGHTS"
      >
    > {}
  interface GlobalProps {
    mainModule: typeof import("../../../worker/edge/index.ts");
  }
}
