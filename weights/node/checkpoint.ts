/** Checkpoints on disk. For Node only. */
import { open, readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type ByteSource, type Checkpoint, type CheckpointTensors, parseConfig, unwrapTensors } from "../checkpoint.ts";
import { CheckpointError } from "../errors.ts";
import { openPth } from "../pth.ts";
import { openSafetensors, openSafetensorsIndex } from "../safetensors.ts";
import { readChatTemplate } from "./chat-template.ts";
import { downloadHint, refuseGgufFolder, refuseOtherFormat } from "./other-formats.ts";

const WEIGHTS = "model.safetensors";
const PICKLE = /\.(bin|pth|pt|ckpt)$/;
const PREPROCESSOR = "preprocessor_config.json";
const INDEX = "model.safetensors.index.json";
/** Beside the weights; large tokenizers, too, are often kept by git-lfs. */
const SMALL_FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", INDEX];

/**
 * Opens a checkpoint folder (config.json with model.safetensors, with one other .safetensors file, or with
 * model.safetensors.index.json and its parts, or with one file of PyTorch's) or one of these files beside its config.json. Tensor names
 * are left as they are but for the prefixes of torch's wrappers.
 * @param describeConfig what a config.json that is missing must hold, in words
 * @throws CheckpointError when something is missing, damaged or of a format that is not read; or what describeConfig throws
 */
export async function openCheckpoint(
  path: string,
  describeConfig?: (tensors: CheckpointTensors) => string | undefined,
): Promise<Checkpoint> {
  const description = `checkpoint ${path}`;
  const info = await stat(path).catch((cause: Error) => {
    const what = `${description}: cannot be opened (${cause.message}); check the path${downloadHint(path)}`;
    throw new CheckpointError(what, { cause });
  });
  if (!info.isDirectory()) await refuseOtherFormat(path);
  const folder = info.isDirectory() ? path : dirname(path);
  const files = await readdir(folder);
  if (info.isDirectory()) refuseGgufFolder(files, description);
  const read = async (): Promise<CheckpointTensors> => {
    const weights = info.isDirectory() ? chooseWeights(files, description) : basename(path);
    return unwrapTensors(await openWeights(folder, weights, description));
  };
  /** @throws CheckpointError always, or what describeConfig throws */
  const refuseConfig = async (problem: string, remedy: string): Promise<never> => {
    // Weights that cannot be read either are the lesser trouble.
    const tensors = describeConfig && (await read().catch(() => undefined));
    throw new CheckpointError(`${description}: ${problem}; ${(tensors && describeConfig?.(tensors)) ?? remedy}`);
  };
  if (!files.includes("config.json")) {
    const yaml = files.includes("config.yaml") ? " (config.yaml, which is there, is not read)" : "";
    await refuseConfig(`no config.json in ${folder}, which says the model's sizes${yaml}`, "put it beside the weights");
  }
  for (const file of SMALL_FILES.filter((name) => files.includes(name))) await refuseOtherFormat(join(folder, file));
  const text = await readFile(join(folder, "config.json"), "utf8");
  if (isYaml(text)) {
    await refuseConfig(`config.json in ${folder} is YAML, and only JSON is read`, "write there, as JSON, what it says");
  }
  const config = parseConfig(text, join(folder, "config.json"));
  const tensors = await read();
  const tokenizer = files.includes("tokenizer.json") ? await readFile(join(folder, "tokenizer.json")) : undefined;
  const chatTemplate = await readChatTemplate(folder, files);
  const preprocessor = files.includes(PREPROCESSOR)
    ? parseConfig(await readFile(join(folder, PREPROCESSOR), "utf8"), join(folder, PREPROCESSOR))
    : undefined;
  return {
    config,
    tensors,
    ...(tokenizer && { tokenizer: new Uint8Array(tokenizer) }),
    ...(chatTemplate && { chatTemplate }),
    ...(preprocessor !== undefined && { preprocessor }),
    description,
  };
}

/** Whether a text begins with a bare key, as YAML's do, after comments and the mark of a document. */
function isYaml(text: string): boolean {
  return /^\uFEFF?(?:[ \t]*(?:#.*|---.*)?\r?\n)*[\w.-]+:(?:\s|$)/.test(text);
}

function chooseWeights(files: readonly string[], description: string): string {
  for (const name of [WEIGHTS, INDEX]) {
    if (files.includes(name)) return name;
  }
  const candidates = files.filter((file) => file.endsWith(".safetensors"));
  if (candidates.length === 1) return candidates[0] as string;
  if (candidates.length > 1) {
    throw new CheckpointError(
      `${description}: no ${WEIGHTS} or ${INDEX}, but ${candidates.join(", ")}; name one of them instead of the folder`,
    );
  }
  const pickles = files.filter((file) => PICKLE.test(file));
  if (pickles.length === 1) return pickles[0] as string;
  if (pickles.length > 1) {
    throw new CheckpointError(`${description}: ${pickles.join(", ")} in it; name one of them instead of the folder`);
  }
  throw new CheckpointError(`${description}: no weights in it; it must hold ${WEIGHTS}, or ${INDEX} with its parts`);
}

async function openWeights(folder: string, file: string, description: string): Promise<CheckpointTensors> {
  if (file === INDEX) {
    const json = await readFile(join(folder, file), "utf8");
    return await openSafetensorsIndex(json, (part) => fileSource(join(folder, part)), `${description}: ${file}`);
  }
  if (PICKLE.test(file)) return await openPth(await fileSource(join(folder, file)), join(folder, file));
  if (!file.endsWith(".safetensors")) {
    throw new CheckpointError(
      `${description}: ${file} is of a format that is not read; save the weights as safetensors (one file, or parts with ${INDEX})`,
    );
  }
  return await openSafetensors(await fileSource(join(folder, file)), join(folder, file));
}

/** A file, opened anew for each read, so that nothing is left open. @throws CheckpointError when there is none, or a git-lfs pointer */
export async function fileSource(path: string): Promise<ByteSource> {
  const { size } = await stat(path).catch((cause: Error) => {
    throw new CheckpointError(`${path}: cannot be opened (${cause.message}); the checkpoint is incomplete`, { cause });
  });
  await refuseOtherFormat(path);
  return {
    size,
    async read(offset, length) {
      const file = await open(path);
      try {
        const bytes = new Uint8Array(length);
        let done = 0;
        while (done < length) {
          const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 1 << 30), offset + done);
          if (bytesRead === 0) {
            throw new CheckpointError(`${path}: ends at byte ${offset + done}, had ${size}; did it change meanwhile?`);
          }
          done += bytesRead;
        }
        return bytes;
      } finally {
        await file.close();
      }
    },
  };
}
