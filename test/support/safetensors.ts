import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TinyCheckpoint } from "./checkpoints.ts";

/** A safetensors file of f32 tensors: u64 header length, JSON header, values (huggingface/safetensors, format). */
export function safetensors(values: TinyCheckpoint["values"]): Uint8Array {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, { shape, data }] of values) {
    header[name] = { dtype: "F32", shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  let at = 8 + json.length;
  for (const { data } of values.values()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

/** A checkpoint folder under the system's temporary folder. */
export function checkpointFolder(checkpoint: TinyCheckpoint, tokenizer?: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), "mamba-edge-test-"));
  writeFileSync(join(folder, "config.json"), JSON.stringify(checkpoint.config));
  writeFileSync(join(folder, "model.safetensors"), safetensors(checkpoint.values));
  if (tokenizer !== undefined) writeFileSync(join(folder, "tokenizer.json"), tokenizer);
  return folder;
}
