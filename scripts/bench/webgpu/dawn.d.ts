/** Dawn for Node, which only the packed benchmark has beside it. */
declare module "webgpu" {
  /** @param toggles of Dawn, as "enable-dawn-features=…". Keep the result reachable. */
  export function create(toggles: string[]): GPU;
  /** GPUBufferUsage and the like. */
  export const globals: Record<string, unknown>;
}
