import { WebGpuError } from "./errors.ts";

/** Bits of GPUBufferUsage and GPUMapMode, which are globals in browsers only (WebGPU §5.1.2). */
export const USAGE = { mapRead: 1, copySrc: 4, copyDst: 8, uniform: 0x40, storage: 0x80, queryResolve: 0x200 } as const;
const MAP_READ = 1;

/** The usage of what kernels read and write and the host fills and reads. */
export const STORAGE = USAGE.storage | USAGE.copySrc | USAGE.copyDst;

/** What went wrong on a device first. */
interface Watch {
  failure: WebGpuError | undefined;
}

/** One listener a device, however many backends it has. */
const watches = new WeakMap<GPUDevice, Watch>();

function watch(device: GPUDevice): Watch {
  let seen = watches.get(device);
  if (seen === undefined) {
    const made: Watch = { failure: undefined };
    device.lost.then(({ reason, message }) => {
      made.failure ??= new WebGpuError("device lost", `${message || reason}: take another backend`);
    });
    device.addEventListener("uncapturederror", (event) => {
      made.failure ??= describe((event as GPUUncapturedErrorEvent).error, "a command");
    });
    watches.set(device, made);
    seen = made;
  }
  return seen;
}

/** A device with an account of its memory and of what went wrong on it. */
export class Gpu {
  readonly device: GPUDevice;
  /** bytes of all buffers that live. */
  liveBytes = 0;
  readonly #watch: Watch;

  constructor(device: GPUDevice) {
    this.device = device;
    this.#watch = watch(device);
  }

  /** @throws WebGpuError once the device has failed */
  check(): void {
    if (this.#watch.failure !== undefined) throw this.#watch.failure;
  }

  /** A buffer of zeros. */
  buffer(label: string, size: number, usage: number = STORAGE): GPUBuffer {
    this.check();
    const bytes = Math.max(16, Math.ceil(size / 16) * 16);
    let buffer: GPUBuffer;
    try {
      buffer = this.device.createBuffer({ label, size: bytes, usage });
    } catch (cause) {
      throw new WebGpuError("out of memory", `${label} of ${bytes} bytes`, { cause });
    }
    this.liveBytes += bytes;
    return buffer;
  }

  free(buffer: GPUBuffer): void {
    this.liveBytes -= buffer.size;
    buffer.destroy();
  }

  /** Does work that creates things on the device. @throws WebGpuError with what the device had against it */
  async guarded<T>(what: string, work: () => Promise<T> | T): Promise<T> {
    this.check();
    this.device.pushErrorScope("out-of-memory");
    this.device.pushErrorScope("validation");
    let result: Promise<T> | T;
    let scopes: Promise<(GPUError | null)[]>;
    try {
      result = work();
    } finally {
      // The scopes close before anything is awaited: they are a stack shared with whoever uses the device meanwhile.
      scopes = Promise.all([this.device.popErrorScope(), this.device.popErrorScope()]);
    }
    const [value, errors] = await Promise.all([result, scopes.catch(() => [])]);
    const error = errors.find((e) => e !== null);
    if (error) throw describe(error, what);
    this.check();
    return value;
  }

  /** A copy of a mapped buffer's first bytes. @throws WebGpuError when the device failed */
  async map(buffer: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    try {
      await buffer.mapAsync(MAP_READ, 0, Math.ceil(bytes / 8) * 8);
    } catch (cause) {
      this.check();
      throw new WebGpuError("device lost", "its memory could not be read: take another backend", { cause });
    }
    const copy = buffer.getMappedRange(0, Math.ceil(bytes / 8) * 8).slice(0);
    buffer.unmap();
    this.check();
    return copy;
  }
}

function describe(error: GPUError, what: string): WebGpuError {
  // Its class is a global that Node has not.
  const memory = error.constructor.name === "GPUOutOfMemoryError";
  return new WebGpuError(memory ? "out of memory" : "validation", `${what}: ${error.message}`);
}
