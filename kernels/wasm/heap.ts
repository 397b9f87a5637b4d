/** Typed views of a WebAssembly.Memory that follow it when it grows (growing detaches the old buffer). */
export class Heap {
  readonly memory: WebAssembly.Memory;
  #buffer: ArrayBuffer;
  #u8: Uint8Array;
  #i32: Int32Array;
  #f32: Float32Array;
  #f64: Float64Array;

  constructor(memory: WebAssembly.Memory) {
    this.memory = memory;
    this.#buffer = memory.buffer;
    this.#u8 = new Uint8Array(this.#buffer);
    this.#i32 = new Int32Array(this.#buffer);
    this.#f32 = new Float32Array(this.#buffer);
    this.#f64 = new Float64Array(this.#buffer);
  }

  get u8(): Uint8Array {
    this.#follow();
    return this.#u8;
  }

  get i32(): Int32Array {
    this.#follow();
    return this.#i32;
  }

  get f32(): Float32Array {
    this.#follow();
    return this.#f32;
  }

  get f64(): Float64Array {
    this.#follow();
    return this.#f64;
  }

  #follow(): void {
    const buffer = this.memory.buffer;
    if (buffer === this.#buffer) return;
    this.#buffer = buffer;
    this.#u8 = new Uint8Array(buffer);
    this.#i32 = new Int32Array(buffer);
    this.#f32 = new Float32Array(buffer);
    this.#f64 = new Float64Array(buffer);
  }
}
