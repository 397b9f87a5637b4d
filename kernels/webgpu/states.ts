import { KernelError, type Sampling, type SequenceState } from "../backend.ts";
import { checkState } from "../check.ts";
import { type StatePart, stateLayout, stateLength } from "../state.ts";
import { type Gpu, USAGE } from "./gpu.ts";
import { f32Word } from "./params.ts";
import type { Pipelines, Slice } from "./pipelines.ts";
import { CONTROL_BYTES, type Plan, stateBytes, stateOffsets } from "./plan.ts";
import { Recorder } from "./recorder.ts";
import { CONTROL } from "./wgsl/choose.ts";

/** What the states of one executable share. */
export class StatePool {
  readonly gpu: Gpu;
  readonly pipelines: Pipelines;
  readonly plan: Plan;
  readonly parts: readonly StatePart[];
  /** bytes where each Mamba block's state begins, and at last the control record's. */
  readonly offsets: readonly number[];
  readonly live = new Set<WebGpuState>();

  constructor(gpu: Gpu, pipelines: Pipelines, plan: Plan) {
    this.gpu = gpu;
    this.pipelines = pipelines;
    this.plan = plan;
    this.parts = stateLayout(plan.blocks);
    this.offsets = stateOffsets(plan.mambas);
  }
}

/**
 * A sequence's state in a buffer of its own: the blocks' states in canonical order, each from a multiple of 256 bytes on, and behind them
 * what the choice of tokens needs.
 */
export class WebGpuState implements SequenceState {
  readonly pool: StatePool;
  /** a bind group for each Mamba block. */
  readonly groups: readonly GPUBindGroup[];
  /** the last pass chose a token for it. */
  hasToken = false;
  readonly #buffer: GPUBuffer;
  #disposed = false;
  /** what the control record holds, the position as it will be. */
  #sampling: Sampling | undefined;

  constructor(pool: StatePool) {
    this.pool = pool;
    this.#buffer = pool.gpu.buffer("state", stateBytes(pool.plan.mambas));
    this.groups = pool.plan.mambas.map((_, i) => pool.pipelines.bind("w", [this.block(i)]));
    pool.live.add(this);
  }

  /** @throws KernelError when it was disposed */
  get buffer(): GPUBuffer {
    if (this.#disposed) throw new KernelError("this state was disposed: create another");
    return this.#buffer;
  }

  /** The state of a Mamba block. */
  block(index: number): Slice {
    const { offsets, plan } = this.pool;
    return { buffer: this.buffer, offset: offsets[index]!, size: 4 * plan.mambas[index]!.stateLength };
  }

  /** Byte of the control record. */
  get control(): number {
    return this.pool.offsets.at(-1)!;
  }

  get controlRecord(): Slice {
    return { buffer: this.buffer, offset: this.control, size: CONTROL_BYTES };
  }

  /** Makes it the token that the next pass takes from the control record. */
  give(token: number): void {
    this.pool.gpu.device.queue.writeBuffer(this.buffer, this.control + 4 * CONTROL.token, Uint32Array.of(token));
  }

  /** Makes the control record say how the next token is to be chosen. Writes nothing when it goes on from the last one. */
  prepare(sampling: Sampling): void {
    const { temperature, topK, topP, minP, seed, position } = sampling;
    const last = this.#sampling;
    const same =
      last !== undefined &&
      last.temperature === temperature &&
      last.topK === topK &&
      last.topP === topP &&
      last.minP === minP &&
      last.seed === seed &&
      last.position === position;
    this.#sampling = { ...sampling, position: position + 1 };
    if (same) return;
    const words = new Uint32Array(CONTROL.words - 1);
    const set = (word: number, value: number): void => {
      words[word - 1] = value;
    };
    set(CONTROL.positionLow, position);
    set(CONTROL.positionHigh, Math.floor(position / 2 ** 32));
    set(CONTROL.seedLow, seed);
    set(CONTROL.seedHigh, Math.floor(seed / 2 ** 32));
    set(CONTROL.scale, temperature === 0 ? 0 : f32Word(Math.min(1 / temperature, 1e30)));
    set(CONTROL.topK, Math.min(topK, 0xffffffff));
    set(CONTROL.topP, f32Word(topP));
    set(CONTROL.reach, f32Word(minP === 0 ? 1e30 : -Math.log(minP)));
    this.pool.gpu.device.queue.writeBuffer(this.buffer, this.control + 4, words);
  }

  async read(): Promise<Float32Array> {
    const { gpu, plan, offsets, parts } = this.pool;
    const bytes = offsets.at(-1)!;
    const staging = gpu.buffer("state readback", bytes, USAGE.mapRead | USAGE.copyDst);
    try {
      const recorder = new Recorder(gpu);
      recorder.copy(this.buffer, 0, staging, 0, bytes);
      recorder.submit();
      const all = new Float32Array(await gpu.map(staging, bytes));
      const values = new Float32Array(stateLength(parts));
      let to = 0;
      plan.mambas.forEach((m, i) => {
        values.set(all.subarray(offsets[i]! / 4, offsets[i]! / 4 + m.stateLength), to);
        to += m.stateLength;
      });
      return values;
    } finally {
      gpu.free(staging);
    }
  }

  write(values: Float32Array): void {
    const { gpu, plan, offsets } = this.pool;
    const { buffer } = this;
    checkState(values, plan.blocks);
    gpu.check();
    let from = 0;
    plan.mambas.forEach((m, i) => {
      gpu.device.queue.writeBuffer(buffer, offsets[i]!, values.slice(from, from + m.stateLength));
      from += m.stateLength;
    });
    this.hasToken = false;
  }

  copyFrom(other: SequenceState): void {
    const { buffer } = this;
    if (!(other instanceof WebGpuState) || other.pool !== this.pool) {
      throw new KernelError("a state copies only a state of its own executable: use read and write for others");
    }
    const recorder = new Recorder(this.pool.gpu);
    if (other !== this) recorder.copy(other.buffer, 0, buffer, 0, buffer.size);
    recorder.submit();
    this.hasToken = other.hasToken;
    this.#sampling = other.#sampling;
  }

  reset(): void {
    const recorder = new Recorder(this.pool.gpu);
    recorder.clear(this.buffer);
    recorder.submit();
    this.hasToken = false;
    this.#sampling = undefined;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.pool.live.delete(this);
    this.pool.gpu.free(this.#buffer);
  }
}
