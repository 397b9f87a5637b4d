export type WebGpuFailure = "device lost" | "out of memory" | "pipeline" | "validation";

/**
 * The device cannot carry on: whatever the cause, the states in its memory are to be thought lost and another backend is to take over.
 * The message says what failed; `failure` says which kind it is.
 */
export class WebGpuError extends Error {
  override readonly name = "WebGpuError";
  readonly failure: WebGpuFailure;

  constructor(failure: WebGpuFailure, message: string, options?: ErrorOptions) {
    super(`WebGPU, ${failure}: ${message}`, options);
    this.failure = failure;
  }
}
