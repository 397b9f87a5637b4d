/** What the bundler makes of an imported .wasm file. */
declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}

/** The package's own declaration is of the instance's exports. */
declare module "@jsquash/png/codec/pkg/squoosh_png_bg.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
