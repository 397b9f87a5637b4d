import type { Checkpoint } from "../../weights/checkpoint.ts";
import { openCheckpoint as open } from "../../weights/node/checkpoint.ts";
import { describeConfig } from "../../worker/engine/architectures/index.ts";

/** As weights/node opens it; where config.json is missing, the error says what it must hold. @throws CheckpointError or ModelError */
export function openCheckpoint(path: string): Promise<Checkpoint> {
  return open(path, describeConfig);
}
