/** What the build makes of an imported .wasm file: its bytes, compressed, in base64. */
declare module "*.wasm?gzip" {
  const text: string;
  export default text;
}
