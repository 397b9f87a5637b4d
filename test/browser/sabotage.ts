import type { Page } from "playwright-core";

/**
 * Puts code in front of the client's Web Worker, to take something away from it. Each piece runs in the Web Worker before the client does.
 */
export async function sabotage(page: Page, code: string): Promise<void> {
  await page.addInitScript((before: string) => {
    const make = URL.createObjectURL.bind(URL);
    URL.createObjectURL = (object) =>
      make(
        object instanceof Blob && object.type.includes("javascript")
          ? new Blob([before, "\n", object], { type: object.type })
          : object,
      );
  }, code);
}

export const noWebGpu = `Object.defineProperty(navigator, "gpu", { value: undefined });`;

export const noAdapter = "navigator.gpu.requestAdapter = async () => null;";

/** The software adapter says that it is a real one. */
export const realAdapter = `
const request = navigator.gpu.requestAdapter.bind(navigator.gpu);
navigator.gpu.requestAdapter = async (options) => {
  const adapter = await request(options);
  Object.defineProperty(adapter.info, "isFallbackAdapter", { value: false });
  return adapter;
};`;

/** Counts the bytes of buffers that live; asked for over a BroadcastChannel. */
export const countBuffers = `
let liveBytes = 0;
const make = GPUDevice.prototype.createBuffer;
GPUDevice.prototype.createBuffer = function (descriptor) {
  const buffer = make.call(this, descriptor);
  liveBytes += buffer.size;
  const destroy = buffer.destroy.bind(buffer);
  buffer.destroy = () => { liveBytes -= buffer.size; buffer.destroy = () => {}; destroy(); };
  return buffer;
};
const asked = new BroadcastChannel("live-bytes");
const report = () => asked.postMessage(liveBytes);
const post = self.postMessage.bind(self);
self.postMessage = (message, ...rest) => { report(); post(message, ...rest); };
`;

/** The device is lost after so many submitted command buffers. */
export function losesDeviceAfter(submits: number): string {
  return `
let left = ${submits};
const submit = GPUQueue.prototype.submit;
const open = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  const device = await open.call(this, descriptor);
  device.queue.submit = (buffers) => {
    submit.call(device.queue, buffers);
    if (--left === 0) device.destroy();
  };
  return device;
};`;
}

/** The limits that every device has, 128 MiB a binding, whatever is asked for; and no f16. */
export const leastLimits = `
const openLeast = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = function () { return openLeast.call(this, {}); };`;

/** Kernels that compute nothing, and compile at once. */
export const emptyKernels = `
const makeModule = GPUDevice.prototype.createShaderModule;
GPUDevice.prototype.createShaderModule = function () {
  return makeModule.call(this, { code: "@compute @workgroup_size(1) fn main() {}" });
};`;

/** Events of a reply arrive one by one, some milliseconds apart. */
export const slowEvents = `
const fetchAtOnce = fetch;
self.fetch = async (...request) => {
  const response = await fetchAtOnce(...request);
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
  let rest = "";
  const slow = new TransformStream({
    async transform(text, controller) {
      const events = (rest + text).split("\\n\\n");
      rest = events.pop();
      for (const event of events) {
        await new Promise((wake) => setTimeout(wake, 25));
        controller.enqueue(event + "\\n\\n");
      }
    },
  });
  const body = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(slow).pipeThrough(new TextEncoderStream());
  return new Response(body, response);
};`;

/** A clock that runs faster and faster: of two things measured one after the other the first seems the quicker one. */
export const hastyClock = `
let ticks = 0;
performance.now = () => ticks++ ** 2;`;
