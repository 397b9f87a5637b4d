/** What the build makes of an imported .wasm file: a data: URL. */
declare module "*.wasm?url&inline" {
  const url: string;
  export default url;
}
