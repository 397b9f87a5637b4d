/** What the build makes of the Web Worker's entry: its code is part of the client's file. */
declare module "*?worker&inline" {
  const HostWorker: new () => Worker;
  export default HostWorker;
}
